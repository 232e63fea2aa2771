"""Pictures of `experiments.optimizer_shootout`."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from experiments.shootout.claims import choose_rate, interval
from experiments.shootout.runs import METHODS, Curves

COLORS = {"adam": "tab:blue", "momentum": "tab:orange", "momentum_cosine": "tab:green"}
LBFGS = "tab:red"


def _band(ax, x, values: np.ndarray, color: str, label: str, **style) -> None:
    """Mean over keys (axis 0) and its 95 % interval."""
    pairs = np.array([interval(column) for column in values.T])
    mean, half = pairs[:, 0], np.nan_to_num(pairs[:, 1])
    ax.plot(x, mean, color=color, label=label, **style)
    ax.fill_between(x, mean - half, mean + half, color=color, alpha=0.2, lw=0)


def save(
    results: dict[str, tuple[str, dict[str, Curves], tuple[Curves, np.ndarray]]],
    rates: np.ndarray,
    target: Path,
) -> None:
    """A row for each problem: accuracy over rates, training loss and test accuracy over passes."""
    figure, axes = plt.subplots(
        len(results), 3, figsize=(15, 4.2 * len(results)), layout="constrained", squeeze=False
    )
    for row, (title, found, (full, passes)) in zip(axes, results.values(), strict=True):
        tuning, loss, accuracy = row
        for method, curves in found.items():
            color, label = COLORS[method], METHODS[method]
            _band(tuning, rates, curves.test_accuracy[..., -1].T, color, label, marker="o", ms=4)
            best = choose_rate(curves)
            steps = np.arange(curves.train_loss.shape[-1])
            named = f"{label}, η {rates[best]:.2g}"
            _band(loss, steps, curves.train_loss[best], color, named)
            _band(accuracy, steps, curves.test_accuracy[best], color, named)
        x = passes.mean(0)
        _band(loss, x, full.train_loss, LBFGS, "L-BFGS, full batch", marker=".")
        _band(accuracy, x, full.test_accuracy, LBFGS, "L-BFGS, full batch", marker=".")
        mean, half = interval(full.test_accuracy[:, -1])
        tuning.axhline(mean, color=LBFGS, lw=1.2, label="L-BFGS, full batch")
        half = float(np.nan_to_num(half))
        tuning.axhspan(mean - half, mean + half, color=LBFGS, alpha=0.15, lw=0)
        tuning.axvline(1e-3, color="0.6", lw=0.8, ls=":")
        tops = [c.test_accuracy[..., -1].max() for c in found.values()]
        tuning.set(xscale="log", xlabel="learning rate", ylabel="test accuracy", title=title)
        tuning.set_ylim(max(0.0, min(tops) - 0.35), min(1.0, max(tops) + 0.02))
        loss.set(yscale="log", xlabel="passes over the data", ylabel="training objective")
        accuracy.set(xlabel="passes over the data", ylabel="test accuracy")
        accuracy.set_ylim(max(0.0, min(tops) - 0.2), min(1.0, max(tops) + 0.02))
        end = max(c.train_loss.shape[-1] for c in found.values()) - 1
        for ax in (loss, accuracy):
            ax.set_xlim(0, end)
        for ax in row:
            ax.grid(alpha=0.3)
            ax.legend(fontsize=7)
    figure.savefig(target, dpi=100)
    plt.close(figure)
