"""First-order rules on four surfaces one can draw: who swings, who overshoots, who stands still.

Command:  python -m experiments.landscapes
          python -m experiments.landscapes --animation
Time:     12 s on two CPU cores; each animation about 10 s more.
Result:   runs/landscapes/: trajectories.png (eight rules on an ill-conditioned quadratic, a saddle,
          Rosenbrock's valley and Beale's plateaus), distances.png, behavior.png (four claims of
          the notes, L60-L64, beside their formulas), summary.json; with --animation a GIF for each
          surface.

On each surface with a minimum a rule gets the rate of a grid whose path is lowest on average. On
the saddle, which has none, all get the same rate.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import command, optim
from jaxnets.errors import UnknownNameError
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
        workdir: where the pictures go.
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


class Surface(NamedTuple):
    """A function of two variables, where to start, what to show, and where its minimum is."""

    title: str
    value: Callable[[jax.Array], jax.Array]
    start: tuple[float, float]
    window: tuple[float, float, float, float]
    minimum: tuple[float, float] | None


def _beale(p):
    x, y = p[0], p[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


SURFACES = {
    "quadratic": Surface(
        "ill-conditioned quadratic, κ = 50",
        lambda p: (p[0] ** 2 + 50 * p[1] ** 2) / 2,
        (-4.0, 1.0),
        (-4.6, 2.6, -1.6, 1.6),
        (0.0, 0.0),
    ),
    "saddle": Surface(
        "saddle x² − y²",
        lambda p: p[0] ** 2 - p[1] ** 2,
        (-1.5, 1e-3),
        (-1.8, 1.2, -1.5, 1.5),
        None,
    ),
    "rosenbrock": Surface(
        "Rosenbrock",
        lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2,
        (-1.2, 1.0),
        (-1.7, 1.5, -0.6, 1.7),
        (1.0, 1.0),
    ),
    "beale": Surface("Beale", _beale, (1.0, 1.5), (-0.6, 4.2, -1.0, 1.9), (3.0, 0.5)),
}

RULES: dict[str, tuple[str, Callable[[Any], optax.GradientTransformation]]] = {
    "sgd": ("gradient descent", optim.sgd),
    "momentum": ("momentum 0.9", optim.momentum),
    "nesterov": ("Nesterov 0.9", optim.nesterov),
    "adagrad": ("AdaGrad", optim.adagrad),
    "rmsprop": ("RMSProp", lambda rate: optim.rmsprop(rate, decay=0.9)),
    "adadelta": ("AdaDelta", optim.adadelta),
    "adam": ("Adam", optim.adam),
    "amsgrad": ("AMSGrad", optim.amsgrad),
}


def walk(value: Callable, rule: optax.GradientTransformation, start: Any, steps: int) -> jax.Array:
    """The points visited, [steps + 1, …], the start included; traceable."""
    gradient = jax.grad(lambda p: jnp.sum(value(p)))

    def step(carry, _):
        point, state = carry
        updates, state = rule.update(gradient(point), state, point)
        point = optax.apply_updates(point, updates)
        return (point, state), point

    start = jnp.asarray(start, jnp.float32)
    _, path = jax.lax.scan(step, (start, rule.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


def best_walk(surface: Surface, name: str, config: Config) -> tuple[float, np.ndarray]:
    """The rate of the grid whose path is lowest on average, and that path.

    The average is of the logarithm of the value over all steps, among the paths that never go
    farther from the start than the picture is wide. The end alone would reward luck: a rate with
    which a rule leaps about and happens to stop low.
    """
    rates = config.rates if surface.minimum else (config.saddle_rate,)
    build = RULES[name][1]
    paths = jax.jit(
        jax.vmap(lambda rate: walk(surface.value, build(rate), surface.start, config.steps))
    )(jnp.asarray(rates))
    if not surface.minimum:
        return rates[0], np.asarray(paths[0])
    values = np.asarray(jax.vmap(jax.vmap(surface.value))(paths), np.float64)
    left, right, _, _ = surface.window
    strayed = np.linalg.norm(np.asarray(paths) - np.array(surface.start), axis=-1).max(1)
    mean_log = np.log(np.maximum(values, 1e-14)).mean(1)
    # A path that is not a number fails the comparison, and is left out as well.
    score = np.where(strayed <= right - left, mean_log, np.inf)
    best = int(np.argmin(score))
    return rates[best], np.asarray(paths[best])


def trajectories(config: Config) -> dict[str, dict[str, dict]]:
    """Paths and their figures for every surface and rule."""
    found: dict[str, dict[str, dict]] = {}
    for key in config.surfaces:
        surface = SURFACES[key]
        found[key] = {}
        for name in RULES:
            rate, path = best_walk(surface, name, config)
            values = np.asarray(jax.vmap(surface.value)(jnp.asarray(path)))
            entry = {"rate": rate, "path": path, "final_value": float(values[-1])}
            if surface.minimum:
                distance = np.linalg.norm(path - np.array(surface.minimum), axis=1)
                entry["distance"] = distance
                entry["final_distance"] = float(distance[-1])
                entry["steps_to_0.01"] = _first(distance < 0.01)
            else:
                entry["steps_to_escape"] = _first(np.abs(path[:, 1]) > 1)
            found[key][name] = entry
    return found


def _first(mask: np.ndarray) -> int | None:
    """The first step at which something holds, and from which on it never ceases to."""
    broken = np.flatnonzero(~mask)
    step = int(broken[-1]) + 1 if len(broken) else 0
    return step if step < len(mask) else None


def behavior() -> dict[str, dict]:
    """The notes' four claims as numbers: each with the curves that show it, and its formula."""
    steps = 60

    def bowl(x):
        return x * x / 2

    oscillation = {}
    for rate in (0.5, 1.5, 1.95, 2.02):
        path = np.asarray(walk(bowl, optim.sgd(rate), 1.0, steps))
        oscillation[f"ηλ = {rate:g}"] = {
            "path": path,
            "formula": (1 - rate) ** np.arange(steps + 1.0),
            "sign_changes": int((np.diff(np.sign(path)) != 0).sum()),
            "final_size": float(abs(path[-1])),
        }

    overshoot = {}
    for rho in (0.0, 0.5, 0.9, 0.97):
        path = np.asarray(walk(bowl, optim.momentum(0.1, rho), 1.0, 150))
        roots = np.roots([1, -(1 + rho - 0.1), rho]).astype(complex)
        weights = np.linalg.solve(np.array([[1, 1], roots]), np.array([1, 0.9], complex))
        formula = (weights * roots ** np.arange(151)[:, None]).sum(1).real
        overshoot[f"ρ = {rho:g}"] = {
            "path": path,
            "formula": formula,
            "overshoot": float(max(0.0, -path.min())),
        }

    t = np.arange(1, 1001)
    vanishing = {}
    for name, build, formula in (
        ("AdaGrad", optim.adagrad(0.1), 0.1 / np.sqrt(t)),
        ("RMSProp", optim.rmsprop(0.1, decay=0.9), 0.1 / np.sqrt(1 - 0.9**t)),
        ("Adam", optim.adam(0.1), np.full(1000, 0.1)),
    ):
        # A plane: the gradient is one everywhere.
        lengths = -np.diff(np.asarray(walk(lambda x: x, build, 0.0, 1000), np.float64))
        slope = np.polyfit(np.log(t[100:]), np.log(lengths[100:]), 1)[0]
        vanishing[name] = {"path": lengths, "formula": formula, "slope": float(slope)}

    escape = {}
    for name in ("sgd", "momentum", "adagrad", "adam"):
        path = walk(SURFACES["saddle"].value, RULES[name][1](0.05), SURFACES["saddle"].start, 200)
        height = np.abs(np.asarray(path)[:, 1])
        inside = np.flatnonzero(height > 1)
        escape[RULES[name][0]] = {
            "path": height,
            "steps_to_escape": int(inside[0]) if len(inside) else None,
        }
    escape["gradient descent"]["formula"] = 1e-3 * 1.1 ** np.arange(201)
    return {
        "oscillation": oscillation,
        "overshoot": overshoot,
        "vanishing": vanishing,
        "escape": escape,
    }


def main(config: Config) -> dict[str, Any]:
    """Walk, draw, and return the numbers that the pictures show."""
    from experiments import landscapes_figures as figures

    for name in config.surfaces:
        if name not in SURFACES:
            raise UnknownNameError("surface", name, SURFACES)
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "config.json", asdict(config) | {"workdir": str(config.workdir)})
    walks, shown = trajectories(config), behavior()
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
            cell = f"{_shown(entry['steps_to_0.01']):>9}  (η {entry['rate']:<7.3g})"
            line += f"{cell:>22}"
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
