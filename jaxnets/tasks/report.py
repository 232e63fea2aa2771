"""The pictures that a run leaves: confusion matrix, filters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.study.figures import new_figure, save_figure


def save_confusion(confusion: np.ndarray, class_names: Sequence[str], path: str | Path) -> None:
    """The confusion matrix, each row a true class in shares of 100 %, with counts when few.

    Args:
        confusion: (K, K) counts, rows = truth.
        class_names: K names.
        path: the PNG to write.
    """
    count = len(class_names)
    size = min(4 + 0.35 * count, 14)
    figure, (axes,) = new_figure(width=size + 0.8, height=size, frame=True)
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    right = np.trace(confusion)
    axes.set_title(f"{right:,} of {confusion.sum():,} right ({right / confusion.sum():.2%})")
    if count <= 30:
        rotation = 90 if max(map(len, class_names)) > 3 else 0
        axes.set_xticks(range(count), class_names, rotation=rotation)
        axes.set_yticks(range(count), class_names)
        for row in range(count):
            for column in range(count):
                if confusion[row, column]:
                    axes.text(
                        column,
                        row,
                        f"{confusion[row, column]}",
                        ha="center",
                        va="center",
                        fontsize=8,
                        color="white" if shares[row, column] > 0.5 else "black",
                    )
    figure.colorbar(image, ax=axes, label="share of the true class")
    save_figure(figure, path, dpi=120)


def first_filters(params: dict[str, Any], image_shape: Sequence[int]) -> np.ndarray | None:
    """The filters that meet the image: (h, w, c, n), or None where there are none to show.

    The first convolution kernel on the image's channels; for a network of dense layers the
    columns of its first matrix, in the image's shape.
    """
    import jax

    height, width, channels = image_shape
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    kernels = [leaf for leaf in leaves if leaf.ndim == 4 and leaf.shape[2] == channels]
    if kernels:
        # The stem has the largest kernel among those on the image's own channels.
        return max(kernels, key=lambda kernel: kernel.shape[0])
    matrices = [m for m in leaves if m.ndim == 2 and m.shape[0] == height * width * channels]
    return matrices[0].reshape(height, width, channels, -1) if matrices else None


def save_filters(filters: np.ndarray, path: str | Path, *, most: int = 64) -> None:
    """A grid of filters, one scale for all: gray (or color) 0.5 is weight 0.

    Args:
        filters: (h, w, c, n); c = 3 is shown in color, otherwise each channel's mean in gray.
        path: the PNG to write.
        most: show at most this many.
    """
    shown = np.moveaxis(filters, -1, 0)[:most].astype(np.float32)
    if shown.shape[-1] != 3:
        shown = shown.mean(-1, keepdims=True)
    shown = 0.5 + 0.5 * shown / max(np.abs(shown).max(), 1e-12)
    grid = tile(shown, gap=1)
    rows, columns = grid.shape[:2]
    height = max(6 * rows / columns, 1.2) + 0.4
    figure, (axes,) = new_figure(width=6, height=height, frame=True)
    axes.imshow(grid.squeeze(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(f"{len(shown)} of {filters.shape[-1]} first-layer filters", fontsize=10)
    save_figure(figure, path, dpi=120)


def tile(images: np.ndarray, *, gap: int = 1, fill: float = 1.0) -> np.ndarray:
    """Images (N, H, W, C) as one picture, in a grid about as wide as high.

    >>> tile(np.zeros((5, 2, 2, 1)), gap=1).shape
    (5, 8, 1)
    """
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    grid = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, channels), fill, images.dtype
    )
    for index, image in enumerate(images):
        top = index // columns * (height + gap)
        left = index % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid
