"""What it costs, and what it loses, to replace large windows by several small ones."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.inspect import Layer, trace_network
from jaxnets.nn import Factorized, separate
from jaxnets.study.figures import new_figure, save_figure

COSTS = ("parameters", "macs")
FORMS = ("stacked", "rectangular")


def compare_windows(
    network: nn.Module, input_shape: Sequence[int]
) -> tuple[list[list[Any]], dict[str, dict[str, int]]]:
    """Every convolution as it is, as a stack of 3×3, and as n×1 and 1×n.

    Args:
        network: a Flax module with `jaxnets.nn.Conv` layers.
        input_shape: (H, W, C) of one image.

    Returns:
        Rows (path, window, pixels that an output sees, then parameters and multiply-adds whole,
        stacked and rectangular), and the sums of both by form: "whole", "stacked", "rectangular".

    >>> from jaxnets.models import create_model
    >>> rows, sums = compare_windows(create_model("lenet5"), (28, 28, 1))
    >>> rows[0][:5], sums["rectangular"]["macs"]
    (['c1', '5×5', 5, 156, 117600], 483200)
    """
    forms = {"whole": network, **{form: Factorized(network, form=form) for form in FORMS}}
    found = {name: _convolutions(built, input_shape) for name, built in forms.items()}
    rows = []
    for path, (layer, *_) in found["whole"].items():
        row: list[Any] = [path, "×".join(map(str, layer.window)), layer.field[0]]
        for parts in (table[path] for table in found.values()):
            row += [sum(getattr(part, cost) for part in parts) for cost in COSTS]
        rows.append(row)
    sums = {
        form: {k: sum(row[3 + 2 * i + j] for row in rows) for j, k in enumerate(COSTS)}
        for i, form in enumerate(forms)
    }
    return rows, sums


def _convolutions(network: nn.Module, shape: Sequence[int]) -> dict[str, list[Layer]]:
    """Path of each convolution of the original network → its parts in this one."""
    found: dict[str, list[Layer]] = {}
    for layer in trace_network(network, shape).layers:
        if layer.kind == "conv":
            path = layer.name.removeprefix("network/").removeprefix("network")
            whole, _, part = path.rpartition("part")
            name = whole.rstrip("/") if part.isdigit() else path
            found.setdefault(name, []).append(layer)
    return found


def cut_ranks(
    network: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    labels: np.ndarray,
    ranks: Sequence[float],
) -> list[dict[str, Any]]:
    """Accuracy and arithmetic of a trained network whose kernels are cut to a share of their rank.

    Args:
        network: a Flax module with `jaxnets.nn.Conv` layers.
        variables: its trained variables.
        images: (n, H, W, C), as the network wants them.
        labels: (n,) class numbers.
        ranks: shares for `jaxnets.nn.separate`.

    Returns:
        One {"rank", "accuracy", "macs"} for the whole kernels (rank None), then one for each share.

    >>> from jaxnets.models import create_model
    >>> network = create_model("lenet5", num_classes=2)
    >>> images = np.ones((2, 28, 28, 1), np.float32)
    >>> variables = network.init(jax.random.key(0), images)
    >>> [row["macs"] for row in cut_ranks(network, variables, images, np.zeros(2), [0.2])]
    [415848, 127448]
    """
    images, labels = np.asarray(images), np.asarray(labels)
    count = max(1, len(images) // 250)

    def measure(rank, network, variables):
        apply = jax.jit(network.apply)
        parts = zip(np.array_split(images, count), np.array_split(labels, count), strict=True)
        right = sum((np.asarray(apply(variables, x)).argmax(-1) == y).sum() for x, y in parts)
        macs = sum(layer.macs for layer in trace_network(network, images.shape[1:]).layers)
        return {"rank": rank, "accuracy": float(right / len(labels)), "macs": macs}

    cut = (measure(r, *separate(network, variables, images[:1], rank=r)) for r in ranks)
    return [measure(None, network, variables), *cut]


def save_ranks(rows: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw accuracy against arithmetic, the whole kernels as a line.

    Args:
        rows: of `cut_ranks`.
        path: PNG file.

    >>> import tempfile
    >>> rows = [{"rank": r, "accuracy": 0.9, "macs": 10} for r in (None, 1.0)]
    >>> save_ranks(rows, Path(tempfile.mkdtemp()) / "ranks.png")
    """
    figure, (axes,) = new_figure(width=6)
    whole, *cut = rows
    shares = [row["macs"] / whole["macs"] for row in cut]
    axes.axhline(whole["accuracy"], color="gray", lw=1, label="whole kernels")
    axes.plot(shares, [r["accuracy"] for r in cut], "o-", label="n×1 and 1×n, by share of the rank")
    for x, row in zip(shares, cut, strict=True):
        point, rank = (x, row["accuracy"]), f"{row['rank']:g}"
        axes.annotate(rank, point, (4, -12), textcoords="offset points")
    axes.margins(y=0.12)
    axes.set(xlabel="multiply-adds, whole kernels = 1", ylabel="test accuracy")
    axes.legend()
    save_figure(figure, path)
