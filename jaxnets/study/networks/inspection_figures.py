"""Pictures of what is inside a network: where its cost lies, how its units cluster."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.inspect import Layer
from jaxnets.study.figures import new_figure, save_figure


def save_layer_bars(title: str, layers: Sequence[Layer], path: Path) -> Path:
    """Parameters, arithmetic, activations and receptive field of every layer, as bars.

    Args:
        title: the network's name.
        layers: rows of `jaxnets.inspect.layer_table`, the input first.
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> from jaxnets.inspect import layer_table
    >>> save_layer_bars("mlp", layer_table("mlp"), Path(tempfile.mkdtemp()) / "layers.png").name
    'layers.png'
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows = [layer for layer in layers if layer.kind != "in place"]
    places = range(len(rows))
    kinds = {"conv": "C0", "dense": "C3", "pool": "C2", "input": "C7"}
    colors = [kinds.get(layer.kind, "C4") for layer in rows]
    panels = {
        "parameters (millions)": [layer.parameters / 1e6 for layer in rows],
        "MACs (millions)": [layer.macs / 1e6 for layer in rows],
        "activations (millions)": [layer.activations / 1e6 for layer in rows],
        "receptive field (pixels)": [layer.field[0] for layer in rows],
    }
    figure = Figure(figsize=(11, 10), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    for axis, (what, values) in zip(axes, panels.items(), strict=True):
        axis.bar(places, values, color=colors, width=0.85)
        axis.set_ylabel(what, fontsize=9)
        axis.grid(axis="y", alpha=0.3)
    image = layers[0].shape[0]
    axes[-1].axhline(image, color="0.4", ls="--", lw=1)
    axes[-1].text(0, image, f" the image: {image}", va="bottom", fontsize=8, color="0.3")
    if len(rows) <= 60:
        axes[-1].set_xticks(places, [row.name for row in rows], rotation=90, fontsize=7)
    else:
        axes[-1].set_xlabel(f"{len(rows)} layers, in the order of computation")
    shown = [kind for kind in kinds if any(row.kind == kind for row in rows)]
    handles = [Rectangle((0, 0), 1, 1, color=kinds[kind]) for kind in shown]
    axes[0].legend(handles, shown, fontsize=8, ncols=len(shown))
    figure.suptitle(f"{title}, input {'×'.join(map(str, layers[0].shape))}")
    return save_figure(figure, path, dpi=100)


def save_clusters(
    rows: Mapping[str, Mapping[str, Any]], correlations: Mapping[str, np.ndarray], path: Path
) -> Path:
    """One row an endpoint: correlations ordered by cluster, reach, cost of dense branches.

    Args:
        rows: endpoint → ``units``, ``clusters``, ``labels`` (units,), ``reach``,
            ``branch_costs`` and ``density``, as `jaxnets.inspect.sparse_structure` finds them.
        correlations: endpoint → (units, units).
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> row = {"units": 2, "clusters": 1, "labels": np.zeros(2, int), "reach": [0.5, 0.5],
    ...     "branch_costs": [1.0], "density": 0.5}
    >>> path = Path(tempfile.mkdtemp()) / "clusters.png"
    >>> save_clusters({"stem": row}, {"stem": np.eye(2)}, path).name
    'clusters.png'
    """
    from matplotlib.patches import Rectangle

    figure, axes = new_figure(3, len(rows), width=4, height=3.6, frame=True)
    axes = axes if len(rows) > 1 else [axes]
    for (endpoint, row), (left, middle, right) in zip(rows.items(), axes, strict=True):
        labels = row["labels"]
        sizes = np.bincount(labels)
        order = np.lexsort((labels, -sizes[labels]))
        picture = left.imshow(np.abs(correlations[endpoint][np.ix_(order, order)]), vmin=0, vmax=1)
        edges = np.flatnonzero(np.diff(labels[order])) + 0.5
        left.set_title(f"{endpoint}: |r| of {row['units']} units, {row['clusters']} clusters")
        for start, end in zip([-0.5, *edges], [*edges, len(labels) - 0.5], strict=True):
            box = Rectangle((start, start), end - start, end - start, fill=False, ec="red")
            left.add_patch(box)
        figure.colorbar(picture, ax=left, shrink=0.8)
        names = [f"{2 * d + 1}×{2 * d + 1}" for d in range(len(row["reach"]))]
        offsets = np.array([1, 8, 16][: len(names)])
        middle.bar(np.arange(len(names)) - 0.2, row["reach"], 0.4, label="strongest 5 % of pairs")
        middle.bar(
            np.arange(len(names)) + 0.2, offsets / offsets.sum(), 0.4, label="all pairs (chance)"
        )
        middle.set_xticks(range(len(names)), names)
        middle.set(xlabel="smallest window that sees both", ylabel="share", ylim=(0, 1))
        middle.legend()
        costs = row["branch_costs"]
        right.plot(range(1, len(costs) + 1), costs, "o-", ms=3, label="dense branches")
        right.axhline(row["density"], ls="--", color="C1", label="sparse layer")
        right.set(xlabel="branches", ylabel="connections / dense layer's", ylim=(0, 1.05))
        right.xaxis.get_major_locator().set_params(integer=True)
        right.legend()
    return save_figure(figure, path, dpi=120)
