"""Paths on surfaces as figures and as an animation."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.optimization.landscapes import RULES, SURFACES


def _colors() -> dict[str, tuple]:
    """One color a rule."""
    from matplotlib import colormaps

    return dict(zip(RULES, colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]


def _contours(ax, key: str) -> None:
    surface = SURFACES[key]
    left, right, low, high = surface.window
    x, y = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 200))
    points = jnp.asarray(np.stack([x, y], -1).reshape(-1, 2))
    z = np.asarray(jax.vmap(surface.value)(points)).reshape(x.shape)
    if surface.minimum:
        levels = np.geomspace(max(z.min(), z.max() * 1e-5), z.max(), 18)
        ax.plot(*surface.minimum, marker="*", color="black", markersize=11, zorder=5)
    else:
        levels = np.linspace(z.min(), z.max(), 18)
    ax.contour(x, y, z, levels=levels, colors="0.75", linewidths=0.7)
    ax.plot(*surface.start, marker="o", color="black", markersize=5, zorder=5)
    ax.set(xlim=(left, right), ylim=(low, high), title=surface.title, xlabel="x", ylabel="y")


def save_trajectories(walks: dict, target: Path) -> None:
    """Save every surface with the path of every rule.

    Args:
        walks: of `jaxnets.study.optimization.landscapes.trajectories`.
        target: a PNG file.
    """
    rows, colors = -(-len(walks) // 2), _colors()
    figure, _ = new_figure(2, rows, width=6.5, height=5, frame=True)
    for ax in figure.axes[len(walks) :]:
        ax.remove()
    for ax, key in zip(figure.axes, walks, strict=True):
        _contours(ax, key)
        for name, (label, _) in RULES.items():
            path, rate = walks[key][name]["path"], walks[key][name]["rate"]
            # AMSGrad often walks where Adam does: dashed, it does not hide it.
            style = "--" if name == "amsgrad" else "-"
            color = colors[name]
            ax.plot(*path.T, style, color=color, lw=1.3, label=f"{label}, η {rate:g}")
            ax.plot(*path.T, ".", color=color, ms=3)
        ax.legend(
            fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False
        )
    save_figure(figure, target)


def save_distances(walks: dict, target: Path) -> None:
    """Save the distance from the minimum over the steps, where a surface has one.

    Args:
        walks: of `jaxnets.study.optimization.landscapes.trajectories`.
        target: a PNG file.
    """
    keys, colors = [key for key in walks if SURFACES[key].minimum], _colors()
    if not keys:
        return
    figure, axes = new_figure(len(keys), width=5, height=4.2)
    for ax, key in zip(axes, keys, strict=True):
        for name, (label, _) in RULES.items():
            # Float32 cannot tell points apart that are nearer than 1e-7.
            distance = np.maximum(walks[key][name]["distance"], 1e-8)
            ax.semilogy(distance, color=colors[name], label=label)
        ax.set(title=SURFACES[key].title, xlabel="steps", ylim=(1e-8, 10))
    axes[0].set_ylabel("distance from the minimum")
    axes[-1].legend(fontsize=8)
    save_figure(figure, target)


def save_behavior(shown: dict, target: Path) -> None:
    """Save four panels: lines are what was walked, dots what the formula says.

    Args:
        shown: of `jaxnets.study.optimization.landscapes_behavior.behavior`.
        target: a PNG file.
    """
    from matplotlib import colormaps

    figure, axes = new_figure(2, 2, width=6, height=4.2)
    (swing, over), (vanish, escape) = axes
    titles = {
        swing: ("Gradient descent swings for ηλ > 1, diverges for ηλ > 2", "oscillation"),
        over: ("Momentum overshoots; ηλ = 0.1", "overshoot"),
        vanish: ("AdaGrad's steps vanish as 1/√t; constant gradient", "vanishing"),
        escape: ("Leaving a saddle from |y| = 0.001; η = 0.05", "escape"),
    }
    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for ax, (title, key) in titles.items():
        first = 1 if key == "vanishing" else 0
        for (label, entry), color in zip(shown[key].items(), colors, strict=False):
            steps = np.arange(first, first + len(entry["path"]))
            ax.plot(steps, entry["path"], color=color, lw=1.4, label=label)
            if "formula" in entry:
                every = slice(None, None, 1 if key == "oscillation" else 5)
                if key == "vanishing":
                    every = np.unique(np.geomspace(1, len(steps), 20).astype(int)) - 1
                ax.plot(steps[every], entry["formula"][every], ".", color=color, ms=5)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("steps")
        ax.legend(fontsize=8)
    swing.set(ylim=(-3.5, 3.5), ylabel="x")
    over.set_ylabel("x")
    vanish.set(xscale="log", yscale="log", ylabel="length of a step")
    escape.set(yscale="log", ylim=(5e-4, 1e2), ylabel="|y|")
    escape.axhline(1, color="0.5", lw=0.8, ls="--")
    figure.suptitle("Lines: walked. Dots: formula.", fontsize=10)
    save_figure(figure, target)


def save_animation(surface: str, walks: dict, target: Path, frames: int) -> None:
    """Save the paths on one surface as a GIF; frames are denser at the start, where more happens.

    Args:
        surface: a name of `SURFACES`.
        walks: by rule, each with its "path" (steps + 1, 2).
        target: a GIF file.
        frames: how many at most.
    """
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    steps = len(next(iter(walks.values()))["path"])
    when = np.unique(np.round(np.linspace(0, 1, frames) ** 2 * (steps - 1)).astype(int))
    figure, (ax,) = new_figure(width=7, height=5.4, frame=True)
    FigureCanvasAgg(figure)
    _contours(ax, surface)
    lines, heads, colors = {}, {}, _colors()
    for name, (label, _) in RULES.items():
        (lines[name],) = ax.plot([], [], color=colors[name], lw=1.3, label=label)
        (heads[name],) = ax.plot([], [], "o", color=colors[name], ms=5)
    ax.legend(fontsize=7, loc="upper right")
    counter = ax.text(0.02, 0.02, "", transform=ax.transAxes)

    def draw(step):
        for name in RULES:
            path = walks[name]["path"][: step + 1]
            lines[name].set_data(*path.T)
            heads[name].set_data(*path[-1:].T)
        counter.set_text(f"step {step}")
        return [*lines.values(), *heads.values(), counter]

    FuncAnimation(figure, draw, frames=when, blit=False).save(target, PillowWriter(fps=15), dpi=80)
