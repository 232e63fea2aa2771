"""Compare all networks: size, arithmetic, memory, accuracy, and speed against batch size.

Command:  python -m experiments.networks.compare_models
          python -m experiments.networks.compare_models --models all --modes inference
          python -m experiments.networks.compare_models --runtimes --max-spread 0.15 --rounds 7 \
              --dtype bfloat16
          python -m experiments.networks.compare_models --batch-sizes 1 \
              --models c3d r2plus1d_18 i3d_rgb slowfast_4x16_r50 --table slowfast_4x16_r50
Time:     the layer tables of all networks five minutes on two cores (--table resnet50: seconds);
          the default's 24 pairs of measurements about half a minute each, half of it compilation.
          Interrupt it, or give --max-minutes, and call it again: it goes on where it was.
Result:   runs/compare_models/: models.md (every registered network), measured.md (seconds, ratio
          to torchvision, memory), bubbles.png (accuracy against MACs, area = parameters),
          density.png (accuracy for each million parameters), time.png and memory.png (against
          batch size), measurements.jsonl, summary.json.

After Canziani, Paszke & Culurciello, "An Analysis of Deep Neural Network Models for Practical
Applications", 2016/17. Where torchvision is installed, its network (or a video network in plain
PyTorch) is timed in turn with ours, in one process, on as many threads, channels-last.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax

from jaxnets import command
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import list_models
from jaxnets.study.networks import figures, measure_missing, plan_measurements, read_records, tables
from jaxnets.study.programs import processor
from jaxnets.train.run_directory import write_json

# One or two of every family that torchvision has too.
REPRESENTATIVE = (
    "alexnet_2014",
    "vgg16",
    "squeezenet1_1",
    "googlenet_bn",
    "inception_v3",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "mobilenet_v2",
    "shufflenet_v2_x1_0",
)


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        models: networks to measure, names of `jaxnets.list_models()`; "all": every one.
        table: networks of the tables and of the bubble chart, likewise.
        modes: what to measure.
        batch_sizes: images at a time.
        dtype: compute dtype of all.
        peer: time torchvision's networks too, where it is installed.
        runtimes: at inference also `optimize_for_inference`, ONNX Runtime and OpenVINO.
        max_spread: no ratio where half of the rounds lie further apart; measured again next time.
        seconds: repeat a call for at least this long.
        rounds: ours and torchvision's take turns at least this often.
        max_minutes: begin no measurement after this long; call again to go on.
        workdir: where the results are, and the measurements that are done already.
    """

    models: tuple[str, ...] = REPRESENTATIVE
    table: tuple[str, ...] = ("all",)
    modes: tuple[Literal["inference", "training"], ...] = ("inference", "training")
    batch_sizes: tuple[int, ...] = (8,)
    dtype: Literal["float32", "bfloat16"] = "float32"
    peer: bool = True
    runtimes: bool = False
    max_spread: float | None = 0.2
    seconds: float = 1.0
    rounds: int = 3
    max_minutes: float | None = None
    workdir: Path = Path("runs/compare_models")


def smoke() -> Config:
    """Two small networks at two batch sizes, without the peer."""
    return Config(
        models=("lenet5", "mlp"),
        table=("lenet5", "mlp", "resnet18"),
        batch_sizes=(1, 2),
        peer=False,
        seconds=0.01,
        workdir=Path("runs/smoke/compare_models"),
    )


def main(config: Config) -> dict[str, Any]:
    """Measure what is missing, write tables and pictures, return the numbers in them."""
    _check(config)
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "config.json", {**asdict(config), "workdir": str(config.workdir)})
    path = config.workdir / "measurements.jsonl"
    names, limit = _names(config.models), config.max_minutes
    beside = {"peer": config.peer, "runtimes": config.runtimes, "max_spread": config.max_spread}
    plan = plan_measurements(path, names, config.modes, config.batch_sizes, config.dtype, **beside)
    left = measure_missing(
        path, plan, seconds=config.seconds, rounds=config.rounds, max_minutes=limit
    )
    measured = read_records(path)
    rows = tables.static_rows(_names(config.table))
    ratios = tables.peer_ratios(measured, config.max_spread)
    summary = {
        "hardware": processor(),
        "jax": jax.__version__,
        "not_yet_measured": left,
        "models": rows,
        "ratios": ratios,
        "memory_fits": tables.memory_fits(measured),
    }
    write_json(config.workdir / "summary.json", summary)
    (config.workdir / "models.md").write_text(tables.static_table(rows), encoding="utf-8")
    text = tables.measured_tables(measured, config.max_spread)
    (config.workdir / "measured.md").write_text(text, encoding="utf-8")
    figures.save_all(rows, measured, config.workdir)
    print(text)
    print(f"{len(rows)} networks, {len(measured)} measurements in {config.workdir}")
    if left:
        print(f"{left} measurements are still to be made: call again")
    return summary


def _check(config: Config) -> None:
    if not config.batch_sizes or min(config.batch_sizes) < 1:
        raise JaxnetsError(f"--batch-sizes must be positive, got {config.batch_sizes}")
    if config.seconds <= 0:
        raise JaxnetsError(f"--seconds must be positive, got {config.seconds}")
    if config.rounds < 1:
        raise JaxnetsError(f"--rounds must be positive, got {config.rounds}")
    known = [*list_models(task="classification"), *list_models(task="video classification")]
    for name in _names(config.models) + _names(config.table):
        if name not in known:
            raise UnknownNameError("network", name, known)


def _names(wanted: tuple[str, ...]) -> list[str]:
    return list_models(task="classification") if "all" in wanted else list(wanted)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
