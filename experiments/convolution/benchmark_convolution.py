"""Time jaxnets' convolution algorithms against XLA's own over the shapes of published networks.

Command:  python -m experiments.convolution.benchmark_convolution
          python -m experiments.convolution.benchmark_convolution --algorithms all \
              --families depthwise large
          python -m experiments.convolution.benchmark_convolution --models resnet50 mobilenet_v1
Time:     about six minutes on two CPU cores without networks, twelve with PyTorch beside; XLA's
          gradients of grouped convolutions are most of it. ResNet-50 adds one minute, ResNeXt-50
          three.
Result:   a table (median milliseconds, GFLOP/s of the definition's arithmetic, relative error,
          temporary memory, ratio to XLA), ratios.png, and the ratios of whole families, also in
          summary.json. On two CPU cores: depthwise forward above 20×, grouped gradients from 40×,
          the kernel gradients of 1×1 about 6×, VGG-16 about 2× with kernels transformed before.

With PyTorch installed, its forward pass and gradients take turns with ours (channels last).
"""

from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from jaxnets import command
from jaxnets.study.convolution import networks, report
from jaxnets.study.convolution.measure import measure_case
from jaxnets.study.convolution.shapes import all_cases
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        families: beginnings of families' names; all by default, none for networks alone.
        algorithms: "auto" (against direct), "all", or names.
        batch_size: images; the table of the results uses 8. Of clips it is an eighth.
        rounds: turns of every candidate; the median counts.
        models: names whose training steps are timed as well.
        image_size: side of the networks' images.
        torch: time PyTorch beside, where it is installed.
        workdir: where summary.json and ratios.png go.
    """

    families: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ("auto",)
    batch_size: int = 8
    rounds: int = 5
    models: tuple[str, ...] = ()
    image_size: int = 224
    torch: bool = True
    workdir: Path = Path("runs/benchmark_convolution")


def smoke() -> Config:
    """Three small shapes."""
    return Config(
        families=("large depthwise 15", "grouped strided"), batch_size=1, rounds=1, torch=False
    )


def main(config: Config) -> dict:
    """Measure, print, store; returns {"rows", "ratios", "networks"}."""
    wanted = config.families or ("",)
    cases = [c for c in all_cases() if c.family.startswith(wanted)]
    if config.families == ("none",):
        cases = []
    elif not cases:
        known = sorted({c.family for c in all_cases()})
        raise ValueError(f"families {config.families!r} fit none of {', '.join(known)}")
    rows = []
    for case in tqdm(cases, desc="convolutions", disable=len(cases) < 2):
        rows += measure_case(
            case,
            algorithms=",".join(config.algorithms),
            batch=max(1, case.x[0] * config.batch_size // 8),
            rounds=config.rounds,
            torch=config.torch,
        )
    for row in rows:
        print(report.as_line(row))
    results = {"rows": rows, "ratios": report.family_ratios(rows) if rows else {}, "networks": {}}
    for name, value in results["ratios"].items():
        print(f"{name:55} {value:7.2f}x")
    write_settings(config)
    if rows:
        report.draw(rows, config.workdir / "ratios.png")
    for name in config.models:
        measured = networks.measure(name, config.batch_size, config.image_size, config.rounds)
        results["networks"][name] = measured
        print(name, {k: round(v, 4) for k, v in measured.items()})
    write_json(config.workdir / "summary.json", results)
    return results


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
