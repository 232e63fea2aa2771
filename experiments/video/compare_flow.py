"""Compare methods of optical flow, scikit-image's too: their error and their time, in turn.

Command:  python -m experiments.video.compare_flow
          python -m experiments.video.compare_flow --size 480 640 --motion 8 5
Time:     half a minute on two CPU cores, the last one two (an estimate).
Result:   runs/compare_flow/: flow.md (a row a method) and summary.json.

A texture and the same moved; the error is the mean endpoint error in pixels, away from the borders.
Where scikit-image is installed (pip install scikit-image), its TV-L1 and its Lucas-Kanade take
turns with ours, with the settings that each has by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.errors import JaxnetsError
from jaxnets.ops.flow.methods import METHODS
from jaxnets.study.programs import processor
from jaxnets.study.summaries import write_settings
from jaxnets.study.timing import time_calls
from jaxnets.study.video_textures import moved_textures
from jaxnets.train.run_directory import write_json

BORDER = 12


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        size: height and width in pixels.
        motion: pixels to the right and down.
        rounds: how often all take turns.
        peer: time scikit-image too, where it is installed.
        workdir: where the table goes.
    """

    size: tuple[int, int] = (240, 320)
    motion: tuple[float, float] = (3.5, -2.25)
    rounds: int = 5
    peer: bool = True
    workdir: Path = Path("runs/compare_flow")


def smoke() -> Config:
    """Small pictures, once."""
    return Config(size=(40, 48), motion=(1.0, 0.0), rounds=1, workdir=Path("runs/smoke/flow"))


def methods(config: Config) -> dict[str, Callable[[], Any]]:
    """Name → what finds flow (H, W, 2), x and y."""
    first, second = moved_textures(config.motion, config.size)
    found: dict[str, Callable[[], Any]] = {
        f"jaxnets {name}": partial(method, first, second) for name, method in METHODS.items()
    }
    if not config.peer:
        return found
    try:
        from skimage import registration
    except ImportError:
        print("scikit-image is not installed: ours alone (pip install scikit-image)")
        return found

    def theirs(method):
        down, right = method(first / 255, second / 255)
        return np.stack((right, down), -1)

    found["scikit-image tv_l1"] = partial(theirs, registration.optical_flow_tvl1)
    found["scikit-image lucas_kanade"] = partial(theirs, registration.optical_flow_ilk)
    return found


def main(config: Config) -> dict[str, Any]:
    """Time, print, store; returns what summary.json holds."""
    if min(config.size) <= 2 * BORDER:
        raise JaxnetsError(f"size: got {config.size}; expected more than {2 * BORDER} pixels")
    write_settings(config)
    calls = methods(config)
    times = time_calls(calls, rounds=config.rounds, block_seconds=0.05)
    inside = slice(BORDER, -BORDER)
    rows = {}
    lines = ["| method | error, pixels | ms | spread |", "|---|--:|--:|--:|"]
    for name, call in calls.items():
        apart = np.asarray(call(), np.float64) - np.array(config.motion)
        error = float(np.linalg.norm(apart, axis=-1)[inside, inside].mean())
        timing = times[name]
        rows[name] = {"endpoint_error": error, **timing.summary()}
        spread = f"{100 * timing.spread:.0f} %"
        lines.append(f"| {name} | {error:.3f} | {timing.milliseconds:.1f} | {spread} |")
    table = "\n".join(lines) + "\n"
    print(table, end="")
    (config.workdir / "flow.md").write_text(table, encoding="utf-8")
    summary = {"hardware": processor(), "jax": jax.__version__, "methods": rows}
    write_json(config.workdir / "summary.json", summary)
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
