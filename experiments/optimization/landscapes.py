"""First-order rules on four surfaces one can draw: who swings, who overshoots, who stands still.

Command:  python -m experiments.optimization.landscapes
          python -m experiments.optimization.landscapes --animation
Time:     12 s on two CPU cores; each animation about 10 s more.
Result:   runs/landscapes/: trajectories.png (eight rules on an ill-conditioned quadratic, a saddle,
          Rosenbrock's valley and Beale's plateaus), distances.png, behavior.png (oscillation,
          overshoot, vanishing steps and escape from a saddle, beside their formulas), summary.json;
          with --animation a GIF for each surface.

On each surface with a minimum a rule gets the rate of a grid whose path is lowest on average. On
the saddle, which has none, all get the same rate.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets import command
from jaxnets.errors import UnknownNameError
from jaxnets.study.optimization import landscapes_figures as figures
from jaxnets.study.optimization.landscapes import RULES, SURFACES, trajectories
from jaxnets.study.optimization.landscapes_behavior import behavior
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to draw.

    Attributes:
        surfaces: of quadratic, saddle, rosenbrock, beale.
        steps: updates on each surface.
        rates: the grid of learning rates.
        saddle_rate: the rate on the saddle.
        animation: also write SURFACE.gif.
        frames: frames of an animation.
        workdir: where the figures go.
    """

    surfaces: tuple[str, ...] = ("quadratic", "saddle", "rosenbrock", "beale")
    steps: int = 400
    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-4, 10, 31))
    saddle_rate: float = 0.05
    animation: bool = False
    frames: int = 80
    workdir: Path = Path("runs/landscapes")


def smoke() -> Config:
    """Two surfaces, a few steps and rates, three frames."""
    return Config(
        surfaces=("quadratic", "saddle"),
        steps=20,
        rates=(1e-3, 1e-2),
        frames=3,
        animation=True,
        workdir=Path("runs/smoke/landscapes"),
    )


def main(config: Config) -> dict[str, Any]:
    """Walk, draw, and return the numbers that the figures show."""
    for name in config.surfaces:
        if name not in SURFACES:
            raise UnknownNameError("surface", name, SURFACES)
    write_settings(config)
    walks = trajectories(config.surfaces, config.rates, config.saddle_rate, config.steps)
    shown = behavior()
    figures.save_trajectories(walks, config.workdir / "trajectories.png")
    figures.save_distances(walks, config.workdir / "distances.png")
    figures.save_behavior(shown, config.workdir / "behavior.png")
    if config.animation:
        for key in walks:
            figures.save_animation(key, walks[key], config.workdir / f"{key}.gif", config.frames)
    summary = {
        "surfaces": {k: {n: _numbers(e) for n, e in v.items()} for k, v in walks.items()},
        "behavior": {k: {n: _numbers(e) for n, e in v.items()} for k, v in shown.items()},
    }
    write_json(config.workdir / "summary.json", summary)
    print(_report(summary, config))
    return summary


def _numbers(entry: dict) -> dict:
    """An entry without its curves; where it has a formula, with the distance from it."""
    out = {k: v for k, v in entry.items() if not isinstance(v, np.ndarray)}
    if "formula" in entry:
        size = np.maximum(np.abs(entry["formula"]), 1.0)
        out["off_formula"] = float(np.max(np.abs(entry["path"] - entry["formula"]) / size))
    return out


def _shown(steps: int | None) -> str:
    return "–" if steps is None else str(steps)


def _report(summary: dict, config: Config) -> str:
    lines = [f"steps until within 0.01 of the minimum for good, of {config.steps} (best rate)"]
    bounded = [k for k in config.surfaces if SURFACES[k].minimum]
    saddle = summary["surfaces"].get("saddle")
    title = " " * 20 + "".join(f"{k:>22}" for k in bounded)
    lines.append(title + (f"{'leaves saddle':>16}" if saddle else ""))
    for name, (label, _) in RULES.items():
        line = f"  {label:<18}"
        for key in bounded:
            entry = summary["surfaces"][key][name]
            column = f"{_shown(entry['steps_to_0.01']):>9}  (η {entry['rate']:<7.3g})"
            line += f"{column:>22}"
        if saddle:
            line += f"{_shown(saddle[name]['steps_to_escape']):>16}"
        lines.append(line)
    slopes = summary["behavior"]["vanishing"]
    lines.append(
        "slope of log step length over log t under a constant gradient: "
        + ", ".join(f"{n} {e['slope']:.3f}" for n, e in slopes.items())
    )
    lines.append(f"{config.workdir}: trajectories.png, distances.png, behavior.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
