"""Figures of a comparison of optimizers."""

from pathlib import Path

import numpy as np

from jaxnets.study.figures import band, new_figure, save_figure
from jaxnets.study.optimization.shootout_claims import choose_rate
from jaxnets.study.optimization.shootout_runs import METHODS, Curves
from jaxnets.study.statistics import mean_interval

COLORS = {"adam": "tab:blue", "momentum": "tab:orange", "momentum_cosine": "tab:green"}
LBFGS = "tab:red"


def save(
    results: dict[str, tuple[str, dict[str, Curves], tuple[Curves, np.ndarray]]],
    rates: np.ndarray,
    target: Path,
) -> None:
    """Save a row for each problem: accuracy over rates, loss and accuracy over passes.

    Args:
        results: by problem its title, the curves by method, and those of L-BFGS with its passes.
        rates: the grid.
        target: a PNG file.
    """
    figure, axes = new_figure(3, len(results), width=5, height=4.2)
    rows = [axes] if len(results) == 1 else axes
    for row, (title, found, (full, passes)) in zip(rows, results.values(), strict=True):
        tuning, loss, accuracy = row
        for method, curves in found.items():
            color, label = COLORS[method], METHODS[method]
            last = curves.test_accuracy[..., -1].T
            band(tuning, rates, last, label, color, marker="o", ms=4)
            best = choose_rate(curves)
            steps = np.arange(curves.train_loss.shape[-1])
            named = f"{label}, η {rates[best]:.2g}"
            band(loss, steps, curves.train_loss[best], named, color)
            band(accuracy, steps, curves.test_accuracy[best], named, color)
        x = passes.mean(0)
        band(loss, x, full.train_loss, "L-BFGS, full batch", LBFGS, marker=".")
        band(accuracy, x, full.test_accuracy, "L-BFGS, full batch", LBFGS, marker=".")
        mean, low, high = mean_interval(full.test_accuracy[:, -1])
        tuning.axhline(mean, color=LBFGS, lw=1.2, label="L-BFGS, full batch")
        if np.isfinite([low, high]).all():
            tuning.axhspan(low, high, color=LBFGS, alpha=0.15, lw=0)
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
            ax.legend(fontsize=7)
    save_figure(figure, target, dpi=100)
