"""A contact sheet of augmentation: every transform on photographs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxnets import augment as a
from jaxnets.data import read_image
from jaxnets.study.figures import new_figure, save_figure

SIDE = 224
# The rows of a quick look.
FEW_ROWS = ("as stored", "cutout", "CutMix")

# Transforms of one image, at settings that can be seen.
TRANSFORMS: dict[str, a.Transform] = {
    "flip": partial(a.random_flip, probability=1.0),
    "crop, padding 1/8": partial(a.random_crop, padding=SIDE // 8),
    "translate": partial(a.random_translate, limit=SIDE // 4, fill=128),
    "resized crop": partial(a.random_resized_crop, size=SIDE),
    "scale crop": partial(a.random_scale_crop, size=SIDE, shorter=(SIDE, 2 * SIDE)),
    "brightness": partial(a.color_jitter, brightness=0.5, contrast=0, saturation=0),
    "contrast": partial(a.color_jitter, brightness=0, contrast=0.8, saturation=0),
    "saturation": partial(a.color_jitter, brightness=0, contrast=0, saturation=1.0),
    "hue": partial(a.color_jitter, brightness=0, contrast=0, saturation=0, hue=0.3),
    "all colors": partial(a.color_jitter, brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1),
    "PCA color noise ×3": partial(a.random_color_noise, std=0.3),
    "cutout": partial(a.cutout, size=SIDE // 2, fill=np.array([124, 116, 104])),
}
# A part of 12×12 pixels: what a method makes of single pixels.
METHODS = {
    f"12×12, {method}": partial(
        lambda key, image, method: a.resample(image, (90, 90, 12, 12), (SIDE, SIDE), method),
        method=method,
    )
    for method in a.METHODS
}
MIXES: dict[str, Callable] = {
    "mixup": partial(a.mixup_at, share=0.6),
    "CutMix": partial(a.cutmix_at, box=(40, 30, 160, 190)),
}


def load_photos(directory: Path | None, count: int = 4) -> tuple[np.ndarray, str]:
    """Photographs of a directory, or two of scikit-learn's and their other halves.

    Args:
        directory: with JPEG files; None for scikit-learn's.
        count: at most so many.

    Returns:
        uint8 (count, 224, 224, 3), and where they are from.
    """
    if directory is not None:
        files = sorted(p for p in directory.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
        step = max(1, len(files) // count)
        photos = [read_image(path, (SIDE, SIDE), 3) for path in files[::step][:count]]
        return np.stack(photos), str(directory)
    from sklearn.datasets import load_sample_images

    photos = []
    for image in load_sample_images().images:
        photos += [
            image[100 : 100 + SIDE, 60 : 60 + SIDE],
            image[150 : 150 + SIDE, 380 : 380 + SIDE],
        ]
    return np.stack(photos)[:count], "scikit-learn's sample photographs"


def make_rows(
    photos: np.ndarray, seed: int = 0, only: tuple[str, ...] = ()
) -> dict[str, np.ndarray]:
    """Every transform, resampling method, policy and mix on the same photographs.

    Args:
        photos: uint8 (N, 224, 224, 3).
        seed: of the random transforms.
        only: rows to make; empty for all.

    Returns:
        Row name → images like ``photos``.
    """
    key = jax.random.key(seed)
    policies = {
        f"policy {name}": a.create_policy(name, photos) for name in ("alexnet", "googlenet")
    }
    rows = {"as stored": photos}
    for name, transform in (TRANSFORMS | METHODS | policies).items():
        if name in only or not only:
            rows[name] = np.asarray(jax.jit(a.per_example(transform))(key, photos))
    for name, mix in MIXES.items():
        if name in only or not only:
            mixed, _ = mix(photos, np.arange(len(photos)), num_classes=len(photos))
            rows[name] = np.asarray(np.round(mixed), np.uint8)
    return rows


def save_sheet(rows: dict[str, np.ndarray], target: Path, panels: int = 3) -> None:
    """Save one row a transform, one column a photograph, in blocks side by side.

    Args:
        rows: of `make_rows`.
        target: a PNG file.
        panels: how many blocks.
    """
    height = -(-len(rows) // panels)
    columns = len(next(iter(rows.values())))
    figure, _ = new_figure(panels, height, width=columns * 1.15 + 0.2, height=1.38, frame=True)
    # Axes come row by row; a block is filled from top to bottom.
    axes = np.reshape(figure.axes, (height, panels)).T.ravel()
    gap = np.full((SIDE, 6, 3), 255, np.uint8)
    for ax in axes:
        ax.axis("off")
    for ax, (name, images) in zip(axes, rows.items(), strict=False):
        strip = [part for image in images for part in (image, gap)][:-1]
        ax.imshow(np.concatenate(strip, 1))
        ax.set_title(name, fontsize=9, loc="left", pad=2)
    save_figure(figure, target)
