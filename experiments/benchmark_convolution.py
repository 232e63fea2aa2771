"""Time jaxnets' convolution algorithms against XLA's own over the shapes of published networks.

Command:  python -m experiments.benchmark_convolution
          python -m experiments.benchmark_convolution --algorithms all --families depthwise,large
          python -m experiments.benchmark_convolution --networks resnet50,mobilenet_v1
Time:     about six minutes on two CPU cores without networks, twelve with PyTorch beside; XLA's
          gradients of grouped convolutions are most of it. ResNet-50 adds one minute, ResNeXt-50
          three.
Result:   a table (median milliseconds, GFLOP/s of the definition's arithmetic, relative error,
          temporary memory, ratio to XLA), ratios.png, and the ratios of whole families, also in
          summary.json. On two CPU cores: depthwise forward above 20×, grouped gradients from 40×,
          the kernel gradients of 1×1 about 6×, VGG-16 about 2× with kernels transformed before.

With PyTorch installed, its forward pass and gradients are timed beside (channels last).
"""

import importlib.util
import time
from dataclasses import dataclass
from pathlib import Path

import jax
from tqdm import tqdm

from experiments.convolution import timing
from experiments.convolution.shapes import Case, all_cases
from experiments.convolution.timing import DIRECTIONS, by_turns, relative_error
from jaxnets import command
from jaxnets.ops.convolution.algorithms import ALGORITHMS, supporting
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import Problem, make_problem
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        families: comma-separated beginnings of families' names; all by default.
        algorithms: "auto" (against direct), "all", or names separated by commas.
        batch: images; the table of the README uses 8.
        rounds: turns of every candidate; the median counts.
        networks: comma-separated names whose training steps are timed as well.
        size: side of the networks' images.
        torch: time PyTorch beside, where it is installed.
        workdir: where summary.json and ratios.png go.
    """

    families: str = ""
    algorithms: str = "auto"
    batch: int = 8
    rounds: int = 5
    networks: str = ""
    size: int = 224
    torch: bool = True
    workdir: Path = Path("runs/benchmark_convolution")


def smoke() -> Config:
    """Three small shapes."""
    return Config(families="large depthwise 15,grouped strided", batch=1, rounds=1, torch=False)


def measure_case(case: Case, config: Config) -> list[dict]:
    """One row per direction and algorithm."""
    x, kernel = (config.batch, *case.x[1:]), case.kernel
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in (x, kernel)]
    problem = make_problem(*shapes, **case.arguments)
    data = timing.arrays(problem)
    plan = choose(problem, "float32", jax.default_backend())
    rows = []
    for direction in DIRECTIONS:
        names = _names(config.algorithms, problem, getattr(plan, direction))
        a, b = timing.operands(direction, data)
        candidates = {n: (timing.function(n, direction, problem), (a, b)) for n in names}
        if direction == "forward" and _can_prepare(problem):
            candidates["winograd prepared"] = timing.prepared(problem, data)
        results = by_turns(candidates, config.rounds)
        direct = results["direct"]
        for name, result in results.items():
            rows.append(
                {
                    "family": case.family,
                    "shape": case.name,
                    "count": case.count,
                    "direction": direction,
                    "algorithm": name,
                    "auto": name == getattr(plan, direction),
                    "ms": result["ms"],
                    # One program and one measurement where auto is direct.
                    "ratio": direct["ms"] / result["ms"],
                    "gflops": 2e-6 * problem.macs / result["ms"],
                    "error": relative_error(result["value"], direct["value"]),
                    "temporary_mb": result["temporary_bytes"] / 1e6,
                }
            )
    if config.torch and importlib.util.find_spec("torch"):
        rows += _torch_rows(case, problem, config.rounds)
    return rows


def _can_prepare(problem: Problem) -> bool:
    """Where a kernel that is transformed already pays: then the pictures need not be many."""
    narrow = min(problem.in_channels, problem.out_channels)
    able = ALGORITHMS["winograd"].unsupported(problem) is None and problem.groups == 1
    return able and problem.window == (3, 3) and narrow >= 64


def _names(asked: str, problem: Problem, auto: str) -> list[str]:
    able = supporting(problem)
    if asked == "all":
        return able
    wanted = {"auto": [auto]}.get(asked) or asked.split(",")
    names = dict.fromkeys([auto, *wanted])
    return ["direct", *(n for n in names if n in able and n != "direct")]


def _torch_rows(case: Case, problem: Problem, rounds: int) -> list[dict]:
    """PyTorch's forward pass and both gradients together, channels last."""
    import torch

    x = torch.randn(problem.batch, problem.in_channels, *problem.spatial, requires_grad=True)
    x = x.detach().to(memory_format=torch.channels_last).requires_grad_()
    kernel = torch.randn(problem.out_channels, problem.kernel_shape[-2], *problem.window)
    kernel = kernel.to(memory_format=torch.channels_last).requires_grad_()
    padding = [before for before, _ in problem.padding]

    def run():
        return torch.nn.functional.conv2d(
            x, kernel, None, problem.strides, padding, problem.dilation, problem.groups
        )

    g = torch.ones_like(run())
    forward, both = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        with torch.no_grad():
            run()
        forward.append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.autograd.grad(run(), (x, kernel), g)
        both.append(time.perf_counter() - start)
    middle = (rounds + 1) // 2
    common = {"family": case.family, "shape": case.name, "count": case.count, "auto": False}
    common |= {"algorithm": "PyTorch"}
    forward_ms = sorted(forward[1:])[middle - 1] * 1e3
    both_ms = sorted(both[1:])[middle - 1] * 1e3
    return [
        common | {"direction": "forward", "ms": forward_ms},
        common | {"direction": "gradients", "ms": both_ms - forward_ms},
    ]


def summarize(rows: list[dict]) -> dict[str, float]:
    """Ratios of whole families: XLA's time over ours, shapes as often as networks have them."""

    def total(family: str, directions, which, keep=lambda r: True) -> float:
        return sum(
            r["ms"] * r["count"]
            for r in rows
            if r["family"].startswith(family) and r["direction"] in directions
            if which(r) and keep(r)
        )

    def direct(row):
        return row["algorithm"] == "direct"

    def auto(row):
        return row["auto"]

    gradients = DIRECTIONS[1:]
    out = {}
    for family in sorted({r["family"] for r in rows}):
        for label, directions in (("forward", DIRECTIONS[:1]), ("gradients", gradients)):
            out[f"{family}: {label}"] = total(family, directions, direct) / total(
                family, directions, auto
            )
    if any(r["family"] == "pointwise" for r in rows):
        kernel = ("kernel_gradient",)
        ratio = total("pointwise", kernel, direct) / total("pointwise", kernel, auto)
        out["pointwise: kernel gradients"] = ratio
    if any(r["family"] == "VGG-16" for r in rows):
        ready = {r["shape"] for r in rows if r["algorithm"] == "winograd prepared"}

        def prepared(row):
            if row["shape"] in ready:
                return row["algorithm"] == "winograd prepared"
            return row["auto"]

        def deep(row):
            return int(row["shape"].split("x")[1].split()[0]) >= 256

        first = DIRECTIONS[:1]
        whole = total("VGG-16", first, direct) / total("VGG-16", first, prepared)
        out["VGG-16: forward, kernels transformed beforehand"] = whole
        out["VGG-16: the same, 256 input channels and more"] = total(
            "VGG-16", first, direct, deep
        ) / total("VGG-16", first, prepared, deep)
        out["VGG-16: training step's convolutions"] = total("VGG-16", DIRECTIONS, direct) / total(
            "VGG-16", DIRECTIONS, auto
        )
    chosen = [r for r in rows if r["auto"]]
    out["slowest auto"] = min(r["ratio"] for r in chosen)
    return out


def draw(rows: list[dict], path: Path) -> None:
    """Ratio to XLA of what auto chose, one bar a shape and direction."""
    import matplotlib.pyplot as plt

    chosen = [r for r in rows if r["auto"]]
    shapes = list(dict.fromkeys((r["family"], r["shape"]) for r in chosen))
    figure, axes = plt.subplots(figsize=(9, 1 + 0.28 * len(shapes)), layout="constrained")
    for offset, direction in zip((-0.27, 0, 0.27), DIRECTIONS, strict=True):
        values = [
            next(
                r["ratio"]
                for r in chosen
                if (r["family"], r["shape"], r["direction"]) == (*s, direction)
            )
            for s in shapes
        ]
        places = [i + offset for i in range(len(shapes))]
        axes.barh(places, values, height=0.25, label=direction.replace("_", " "))
    axes.set_yticks(
        range(len(shapes)), [f"{family}  {shape}" for family, shape in shapes], fontsize=7
    )
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel='times faster than XLA\'s convolution (algorithm="auto")')
    axes.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(config: Config) -> dict:
    """Measure, print, store; returns {"rows", "ratios", "networks"}."""
    wanted = tuple(config.families.split(","))
    cases = [c for c in all_cases() if c.family.startswith(wanted)]
    if config.families == "none":
        cases = []
    elif not cases:
        known = sorted({c.family for c in all_cases()})
        raise ValueError(f"families {config.families!r} fit none of {', '.join(known)}")
    rows = []
    for case in tqdm(cases, desc="convolutions", disable=len(cases) < 2):
        rows += measure_case(case, config)
    for r in rows:
        more = ""
        if "ratio" in r:
            more = (
                f"{r['gflops']:8.1f} GFLOP/s {r['ratio']:7.2f}x  error {r['error']:.0e}"
                f" {r['temporary_mb']:7.1f} MB{'  auto' if r['auto'] else ''}"
            )
        name = f"{r['family']:24} {r['shape']:38} {r['direction']:16} {r['algorithm']:18}"
        print(f"{name} {r['ms']:9.2f} ms {more}")
    results = {"rows": rows, "ratios": summarize(rows) if rows else {}, "networks": {}}
    for name, value in results["ratios"].items():
        print(f"{name:55} {value:7.2f}x")
    config.workdir.mkdir(parents=True, exist_ok=True)
    if rows:
        draw(rows, config.workdir / "ratios.png")
    for name in filter(None, config.networks.split(",")):
        from experiments.convolution import networks

        measured = networks.measure(name, config.batch, config.size, config.rounds)
        results["networks"][name] = measured
        print(name, {k: round(v, 4) for k, v in measured.items()})
    write_json(config.workdir / "summary.json", results)
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
