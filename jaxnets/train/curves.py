"""The picture of a run's course: every quantity that is measured in training and in evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

# One color a kind of record; the first is training's.
_COLORS = {"train": "#0072B2", "test": "#D55E00", "validation": "#009E73"}


def save_curves(
    records: Sequence[Mapping[str, Any]], path: str | Path, *, epoch_steps: int
) -> None:
    """Draw each quantity against epochs, training (means over windows) beside the evaluations.

    Only what both measure is drawn, so that the lines of a panel are of the same quantity; without
    an evaluation everything that training measures.

    Args:
        records: lines of ``metrics.jsonl`` (`read_metrics`).
        path: the PNG to write.
        epoch_steps: steps in one epoch.

    >>> import tempfile
    >>> lines = [{"step": s, "kind": k, "loss": 1 / s} for s in (1, 2) for k in ("train", "test")]
    >>> save_curves(lines, Path(tempfile.mkdtemp()) / "curves.png", epoch_steps=1)
    """
    from matplotlib.figure import Figure

    kinds = {kind: [r for r in records if r["kind"] == kind] for kind in _COLORS}
    lines = {kind: found for kind, found in kinds.items() if found}
    names = [set(_numbers(found[-1])) for found in lines.values()]
    shared = (
        [name for name in _numbers(records[0]) if all(name in n for n in names)] if names else []
    )
    shared = shared[:4] or ["loss"]
    figure = Figure(figsize=(4.5 * len(shared), 3.6), layout="constrained")
    panels = figure.subplots(1, len(shared), squeeze=False)[0]
    for axes, name in zip(panels, shared, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25, lw=0.6)
        positive, drawn = True, {}
        for kind, found in lines.items():
            points = [(r["step"] / epoch_steps, r[name]) for r in found if name in r]
            if not points:
                continue
            x, y = np.asarray(points, np.float64).T
            positive &= bool((y > 0).all())
            few = "o" if len(points) < 3 else None
            (line,) = axes.plot(x, y, color=_COLORS[kind], lw=1.4, marker=few)
            drawn[kind if kind == "train" else f"{kind}: {y[-1]:.4g}"] = line
        axes.set(xlabel="epoch", ylabel=name, title=name)
        if name == "loss" and positive and lines:
            axes.set_yscale("log")
        if drawn:
            axes.legend(drawn.values(), drawn)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _numbers(record: Mapping[str, Any]) -> list[str]:
    skipped = ("step", "kind", "gradient_norm", "parameter_norm", "total_loss")
    return [k for k, v in record.items() if k not in skipped and isinstance(v, int | float)]
