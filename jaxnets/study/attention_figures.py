"""Attention maps, all drawn by one function: over words, over sound, over a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnets.study.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_attention(
    weights: np.ndarray,
    *,
    queries: Sequence[str] | None = None,
    keys: Sequence[str] | np.ndarray | None = None,
    grid: tuple[int, int] | None = None,
    columns: int = 4,
) -> "Figure":
    """One map of what each query attended to, or, over a picture, one panel for each query.

    Args:
        weights: (Q, K) of one example, such as `jaxnets.nn.Attend` returns and stores; (H, Q, K)
            of several heads, a panel each.
        queries: (Q,) names of the rows: the tokens that were written.
        keys: (K,) names of the columns: the tokens that were read; or, with ``grid``, the picture
            (height, width) or (height, width, 3), values in [0, 1].
        grid: (rows, columns) of the places in a picture that the K keys are.
        columns: panels beside each other.

    Returns:
        The figure.

    Raises:
        ValueError: weights that are no (Q, K), or names or a grid that do not fit them.

    >>> maps = np.eye(3)[None].repeat(2, 0)
    >>> figure = draw_attention(maps, queries=["ein", "Hund", "</s>"], keys=["a", "dog", "</s>"])
    >>> [axes.get_title() for axes in figure.axes]
    ['head 1', 'head 2']
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim not in (2, 3):
        raise ValueError(f"weights: got shape {weights.shape}; expected (queries, keys) or heads")
    names = [str(q) for q in queries] if queries is not None else None
    if names is not None and len(names) != weights.shape[-2]:
        raise ValueError(f"queries: got {len(names)} names for {weights.shape[-2]} queries")
    if grid is not None:
        if weights.ndim != 2 or grid[0] * grid[1] != weights.shape[-1]:
            raise ValueError(f"grid: got {grid} for weights of shape {weights.shape}")
        return _over_picture(weights.reshape(-1, *grid), names, keys, columns)
    if keys is not None and len(keys) != weights.shape[-1]:
        raise ValueError(f"keys: got {len(keys)} names for {weights.shape[-1]} keys")
    panels = weights if weights.ndim == 3 else weights[None]
    width = max(3.0, 0.32 * weights.shape[-1] + 1.0)
    height = max(2.4, 0.28 * weights.shape[-2] + 1.0)
    figure, axes = _panels(len(panels), columns, width, height)
    for number, (ax, panel) in enumerate(zip(axes, panels, strict=False), start=1):
        ax.imshow(panel, cmap="magma", vmin=0.0, vmax=max(1e-9, float(panel.max())), aspect="auto")
        if len(panels) > 1:
            ax.set_title(f"head {number}")
        if keys is not None:
            ax.set_xticks(range(len(keys)), [str(k) for k in keys], rotation=90)
        if names is not None:
            ax.set_yticks(range(len(names)), names)
        ax.set_xlabel("attended to")
    return figure


def _over_picture(maps, names, picture, columns) -> "Figure":
    figure, axes = _panels(len(maps), columns, 2.2, 2.4)
    for number, (ax, one) in enumerate(zip(axes, maps, strict=False)):
        rows, places = one.shape
        if picture is not None:
            picture = np.asarray(picture)
            rows, places = picture.shape[:2]
            ax.imshow(picture, cmap="gray", extent=(0, places, rows, 0))
        ax.imshow(
            one,
            cmap="magma",
            alpha=0.6 if picture is not None else 1.0,
            extent=(0, places, rows, 0),
            interpolation="bilinear",
        )
        ax.set_title(names[number] if names is not None else f"query {number + 1}")
        ax.set_xticks([])
        ax.set_yticks([])
    return figure


def _panels(count: int, columns: int, width: float, height: float):
    """The figure and ``count`` axes; those of the last row that are left over are hidden."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure, axes = new_figure(columns, rows, width=width, height=height, frame=True)
    flat = axes if rows == 1 else [ax for row in axes for ax in row]
    for ax in flat[count:]:
        ax.remove()
    return figure, flat[:count]
