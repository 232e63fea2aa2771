"""What a classifier gets wrong: numbers for each class, and a sheet of its worst mistakes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Source, eval_batches
from jaxnets.study.figures import new_figure, save_figure

SHEET_ROWS, SHEET_COLUMNS = 4, 6


class Predictions(NamedTuple):
    """What a classifier says of every example of a source.

    Attributes:
        labels: int (N,), the truth.
        predicted: int (N,), the most probable class.
        confidence: float (N,), its probability.
        loss: float (N,), −log p of the true class.

    >>> Predictions(np.array([1]), np.array([0]), np.array([0.9]), np.array([2.3])).loss.item()
    2.3
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray


def predict_source(
    apply: Callable[[Any], jax.Array], source: Source, *, batch_size: int = 256
) -> Predictions:
    """Logits over a source, on one device, kept as what they say of each example.

    Args:
        apply: images as stored (B, H, W, C) → logits (B, K).
        source: examples with ``image`` and ``label``.
        batch_size: examples at once.

    Returns:
        `Predictions`.

    >>> from jaxnets.data import Split
    >>> split = Split(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 1, 1], np.int32))
    >>> predict_source(lambda images: jnp.tile(jnp.array([0.0, 1.0]), (len(images), 1)),
    ...                split).predicted.tolist()
    [1, 1, 1]
    """

    @jax.jit
    def measure(images, labels):
        log_p = jax.nn.log_softmax(apply(images).astype(jnp.float32))
        own = jnp.take_along_axis(log_p, labels[:, None].astype(jnp.int32), axis=-1)[:, 0]
        return jnp.argmax(log_p, -1), jnp.exp(log_p.max(-1)), -own

    parts = []
    batch_size = min(batch_size, len(source))
    for batch in eval_batches(source, batch_size):
        count = int(batch["example_mask"].sum())
        found = measure(batch["image"], np.asarray(batch["label"]))
        parts.append([np.asarray(batch["label"])[:count], *(np.asarray(x)[:count] for x in found)])
    return Predictions(*map(np.concatenate, zip(*parts, strict=True)))


def class_table(confusion: np.ndarray, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall and F1 of every class.

    precision = right / predicted as the class, recall = right / truly of the class, F1 their
    harmonic mean; NaN (None in JSON) where there is nothing to divide by.

    Args:
        confusion: (K, K) counts, rows = truth.
        class_names: K names.

    Returns:
        A dict for each class: ``class``, ``examples``, ``precision``, ``recall``, ``f1``, and
        ``taken_for``: the class that it is most often taken for, or None.

    >>> row = class_table(np.array([[8, 2], [0, 5]]), ["cat", "dog"])[1]
    >>> round(row["precision"], 3), row["recall"], row["taken_for"]
    (0.714, 1.0, None)
    """
    confusion = np.asarray(confusion, np.float64)
    right = np.diag(confusion)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision, recall = right / confusion.sum(0), right / confusion.sum(1)
        f1 = 2 * right / (confusion.sum(0) + confusion.sum(1))
    wrong = confusion - np.diag(right)
    return [
        {
            "class": name,
            "examples": int(confusion[k].sum()),
            "precision": _number(precision[k]),
            "recall": _number(recall[k]),
            "f1": _number(f1[k]),
            "taken_for": class_names[int(wrong[k].argmax())] if wrong[k].any() else None,
        }
        for k, name in enumerate(class_names)
    ]


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def table_text(table: Sequence[dict[str, Any]], *, most: int = 20) -> str:
    """A `class_table` as lines, the classes of the lowest F1 first.

    Args:
        table: of `class_table`.
        most: rows to show.

    Returns:
        Text.

    >>> print(table_text(class_table(np.array([[8, 2], [0, 5]]), ["cat", "dog"])))
    class  examples  precision   recall       F1  taken for
    dog           5     71.4 %  100.0 %   83.3 %
    cat          10    100.0 %   80.0 %   88.9 %  dog
    """
    rows = sorted(table, key=lambda row: -1.0 if row["f1"] is None else row["f1"])[:most]
    width = max(5, *(len(row["class"]) for row in rows))
    lines = [f"{'class':<{width}}  examples  precision   recall       F1  taken for"]
    for row in rows:
        shares = [
            "       –" if row[name] is None else f"{100 * row[name]:6.1f} %"
            for name in ("precision", "recall", "f1")
        ]
        line = (
            f"{row['class']:<{width}}  {row['examples']:8}  {shares[0]:>9} {shares[1]} {shares[2]}"
        )
        lines.append(f"{line}  {row['taken_for'] or ''}".rstrip())
    if len(table) > most:
        lines.append(f"… and {len(table) - most} more classes")
    return "\n".join(lines)


def save_mistakes(
    found: Predictions, source: Source, class_names: Sequence[str], path: str | Path
) -> int:
    """A contact sheet of the wrong predictions with the highest loss: picture, truth, prediction.

    Args:
        found: of `predict_source`.
        source: the same source.
        class_names: K names.
        path: the PNG to write; without mistakes none is.

    Returns:
        How many mistakes there are in all.

    >>> found = Predictions(np.array([1]), np.array([1]), np.array([0.9]), np.array([0.1]))
    >>> save_mistakes(found, None, ["cat", "dog"], "mistakes.png")
    0
    """
    wrong = np.flatnonzero(found.predicted != found.labels)
    if not len(wrong):
        return 0
    worst = wrong[np.argsort(-found.loss[wrong], kind="stable")][: SHEET_ROWS * SHEET_COLUMNS]
    images = source.take(worst)["image"]
    columns = min(SHEET_COLUMNS, max(3, len(worst)))
    rows = -(-len(worst) // columns)
    figure, axes = new_figure(columns, rows, width=1.7, height=2.0, frame=True)
    panels = [ax for row in (axes if rows > 1 else [axes]) for ax in row]
    for ax in panels:
        ax.set_axis_off()
    for ax, row, image in zip(panels, worst, images, strict=False):
        ax.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        truth, said = class_names[found.labels[row]], class_names[found.predicted[row]]
        text = f"{truth[:18]}\n→ {said[:18]} {100 * found.confidence[row]:.0f} %"
        ax.set_title(text, fontsize=7)
    figure.suptitle(f"the worst of {len(wrong):,} mistakes of {len(found.labels):,}", fontsize=10)
    save_figure(figure, path, dpi=140)
    return len(wrong)
