"""Time what a detector does with boxes, beside torchvision where that is installed.

Command:  python -m experiments.detection.box_speed
          python -m experiments.detection.box_speed --only roi_align --rounds 9
Time:     two minutes on two CPU cores, most of it compilation; with one accelerator less.
Result:   runs/box_speed/summary.json and a table: milliseconds of RoIAlign of 1,000 regions over a
          pyramid of an 800×800 image with 256 channels, its gradient, suppression among 2,000
          boxes, and the post-processing of a batch of 8 images of SSD300, whose scores mostly
          favor the background; each as a ratio to torchvision's.

Both take turns in one process, on the same cores. torchvision works image by image, class by class.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import jax

from jaxnets import command
from jaxnets.errors import UnknownNameError
from jaxnets.study.box_workloads import CASES, Sizes, make_arrays, ours, theirs
from jaxnets.study.programs import processor
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to time.

    Attributes:
        only: cases, of roi_align, roi_align_gradient, nms and postprocess.
        sizes: how much there is to do.
        rounds: how often the two take turns, at least.
        torch: time torchvision too, where it is installed.
        workdir: where the summary goes.
    """

    only: tuple[str, ...] = CASES
    sizes: Sizes = field(default_factory=Sizes)
    rounds: int = 5
    torch: bool = True
    workdir: Path = Path("runs/box_speed")


def smoke() -> Config:
    """Few boxes, without torchvision."""
    return Config(
        only=("roi_align", "nms", "postprocess"),
        sizes=Sizes(5, 4, 64, 30, 20, 3, 2),
        rounds=1,
        torch=False,
    )


def main(config: Config) -> dict:
    """Time, print, store; returns milliseconds and ratios by case."""
    config.workdir.mkdir(parents=True, exist_ok=True)
    rows = {}
    for case in config.only:
        if case not in CASES:
            raise UnknownNameError("case", case, CASES)
        arrays = make_arrays(config.sizes, case)
        calls = {"jaxnets": ours(config.sizes, case, arrays)}
        if config.torch:
            with contextlib.suppress(ImportError):
                calls["torchvision"] = theirs(config.sizes, case, arrays)
        times = time_calls(calls, rounds=config.rounds)
        rows[case] = {name: timing.milliseconds for name, timing in times.items()}
        if "torchvision" in times:
            rows[case]["ratio"] = times["jaxnets"].median / times["torchvision"].median
        print(case, {name: round(value, 2) for name, value in rows[case].items()}, flush=True)
    summary = {"hardware": processor(), "jax": jax.__version__, "cases": rows}
    write_json(config.workdir / "summary.json", summary)
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
