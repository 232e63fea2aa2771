"""Pictures made to be looked at: overlays, mosaics, and sheets of panels side by side."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.interpret.maps import resize_maps
from jaxnets.study.figures import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAT = "inferno"


def as_picture(values: Any) -> np.ndarray:
    """An array as an image of bytes, for the eye.

    Args:
        values: (…, H, W, C) or (…, H, W): bytes are taken as they are; floats between 0 and 1 as
            colors; others, such as gradients, each image scaled by its largest absolute value, 0
            as middle gray. Gray images get three equal colors.

    Returns:
        uint8 (…, H, W, 3).

    >>> as_picture(np.array([[[-2.0], [0.0], [2.0]]]))[0, :, 0].tolist()
    [0, 128, 255]
    """
    values = np.asarray(values)
    if values.ndim < 3 or values.shape[-1] not in (1, 3):
        values = values[..., None]
    if values.dtype != np.uint8:
        values = values.astype(np.float64)
        if values.min() < 0 or values.max() > 1:
            largest = np.abs(values).max(axis=(-3, -2, -1), keepdims=True)
            values = 0.5 + 0.5 * values / np.maximum(largest, 1e-30)
        values = np.round(255 * values).astype(np.uint8)
    return np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values


def overlay(image: Any, heat: Any, *, share: float = 0.6, colors: str = HEAT) -> np.ndarray:
    """A heat map laid over the image it belongs to.

    Args:
        image: (H, W, C), see `as_picture`.
        heat: (h, w), resized to the image; its smallest value is left as the image is.
        share: of the heat's color where it is largest.
        colors: name of a Matplotlib color map.

    Returns:
        uint8 (H, W, 3).

    >>> overlay(np.zeros((4, 4, 3), np.uint8), np.eye(2)).shape
    (4, 4, 3)
    """
    from matplotlib import colormaps

    picture = as_picture(image).astype(np.float64) / 255
    heat = np.asarray(resize_maps(np.asarray(heat, np.float32)[None], picture.shape[:2]))[0]
    spread = heat.max() - heat.min()
    heat = (heat - heat.min()) / spread if spread > 0 else np.zeros_like(heat)
    alpha = share * heat[..., None]
    mixed = (1 - alpha) * picture + alpha * colormaps[colors](heat)[..., :3]
    return np.round(255 * mixed).astype(np.uint8)


def mosaic(images: Any, columns: int | None = None, *, gap: int = 1) -> np.ndarray:
    """Images of one size in rows and columns.

    Args:
        images: (n, H, W, C) or (n, H, W), see `as_picture`.
        columns: images beside each other (default: about as many as rows).
        gap: white pixels between them.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: no images.

    >>> mosaic(np.zeros((9, 4, 4, 3), np.uint8)).shape
    (14, 14, 3)
    """
    pictures = as_picture(images)
    if pictures.ndim != 4 or not len(pictures):
        raise ValueError(f"images: got shape {np.shape(images)}; expected (n, H, W, C), n ≥ 1")
    count, height, width = pictures.shape[:3]
    columns = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // columns)
    out = np.full(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    for i, picture in enumerate(pictures):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        out[y : y + height, x : x + width] = picture
    return out


def sheet(
    panels: Mapping[str, Any] | Sequence[Mapping[str, Any]], *, width: float = 2.3
) -> "Figure":
    """Pictures side by side, each with its title; several rows for several mappings.

    Args:
        panels: title → image, see `as_picture`, or a box beside it: (image, box) with x and y of
            the upper left and lower right corner.
        width: of a panel, in inches.

    Returns:
        A Matplotlib figure; `jaxnets.study.figures.save_figure` writes it.

    >>> sheet({"a": np.zeros((4, 4)), "b": np.ones((4, 4))}).get_size_inches().round(1).tolist()
    [4.6, 2.6]
    """
    rows = [panels] if isinstance(panels, Mapping) else list(panels)
    columns = max(len(row) for row in rows)
    figure, axes = new_figure(columns, len(rows), width=width, height=width + 0.3, frame=True)
    axes = [axes] if len(rows) == 1 else axes
    for line in axes:
        for ax in line:
            ax.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for ax, (title, shown) in zip(line, row.items(), strict=False):
            picture, box = shown if isinstance(shown, tuple) else (shown, None)
            picture = as_picture(picture)
            small = max(picture.shape[:2]) < 100
            ax.imshow(picture, interpolation="nearest" if small else "antialiased")
            ax.set_title(title, fontsize=9)
            if box is not None:
                _draw_box(ax, box)
    return figure


def _draw_box(ax, box) -> None:
    from matplotlib.patches import Rectangle

    left, upper, right, lower = (float(v) for v in box)
    corner = (left - 0.5, upper - 0.5)
    ax.add_patch(Rectangle(corner, right - left, lower - upper, fill=False, ec=COLORS[2], lw=1.8))


def curves(
    x: Sequence[float],
    lines: Mapping[str, Any],
    *,
    xlabel: str,
    ylabel: str,
    width: float = 4.6,
) -> "Figure":
    """Lines over one axis, in one panel.

    Args:
        x: (V,), or texts, which are then placed evenly.
        lines: label → (V,), or (V, N), of which the mean is drawn.
        xlabel, ylabel: of the axes.
        width: in inches.

    Returns:
        A Matplotlib figure.

    >>> figure = curves([0, 1], {"a": [1, 2]}, xlabel="shift", ylabel="distance")
    >>> figure.axes[0].get_xlabel()
    'shift'
    """
    figure, (ax,) = new_figure(width=width)
    places = np.arange(len(x)) if isinstance(x[0], str) else np.asarray(x, float)
    for label, values in lines.items():
        values = np.asarray(values, float)
        ax.plot(places, values.mean(1) if values.ndim == 2 else values, label=label, marker=".")
    if isinstance(x[0], str):
        ax.set_xticks(places, x, rotation=45, ha="right", fontsize=8)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.legend(fontsize=8)
    return figure
