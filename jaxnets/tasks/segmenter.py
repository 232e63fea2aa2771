"""Train a small segmenter on images of one's own, and use it again."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.data import ArraySource, LabelImageSource, read_image
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.data.preprocessing import Standardization
from jaxnets.errors import JaxnetsError
from jaxnets.models.segmentation import small_segmenter
from jaxnets.tasks.segmentation import segmentation
from jaxnets.tasks.small_training import (
    check_recipe,
    color_statistics,
    random_changes,
    warm_adamw,
    workdir_of,
)
from jaxnets.train import EarlyStopping, Fitted, RunOptions, fit
from jaxnets.train.reopen import reopen
from jaxnets.train.state import network_functions


@dataclass(frozen=True)
class SegmenterRecipe:
    """What decides how good a segmenter becomes.

    Attributes:
        width: of the network, see `jaxnets.models.segmentation.small_segmenter`.
        epochs: passes over the training images.
        batch_size: images an update.
        learning_rate: the highest, of AdamW; it rises over the first twentieth of the updates and
            falls along a cosine.
        weight_decay: of kernels.
        balance: weigh a class by (its share of the pixels)^−balance: 0 for none.
        scales: range of the random factor of the image's size.
        jitter: how far brightness, contrast and saturation vary.
        seed: of everything random.

    >>> SegmenterRecipe(epochs=0).check()
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """

    width: int = 24
    epochs: int = 40
    batch_size: int = 8
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    balance: float = 0.3
    scales: tuple[float, float] = (0.8, 1.6)
    jitter: float = 0.2
    seed: int = 0

    def check(self) -> None:
        """Raise a `JaxnetsError` for values that no training can have."""
        check_recipe(self, ("width", "epochs", "batch_size"))


def train_segmenter(
    recipe: SegmenterRecipe,
    options: RunOptions,
    source: LabelImageSource,
    *,
    validation: LabelImageSource | None = None,
    test: LabelImageSource | None = None,
) -> Fitted:
    """Train (or resume) a segmenter and leave a run that `load_segmenter` reads.

    Args:
        recipe: what decides the result.
        options: how the run is carried out; it names ``workdir``.
        source: the training images, which must fit into memory.
        validation: images to choose the epoch by, with the highest mean IoU.
        test: measured at the end.

    Returns:
        `jaxnets.train.Fitted`.

    Raises:
        JaxnetsError: whatever a user can mend.

    See ``experiments/segmentation/train_segmenter.py`` for the command.

    >>> train_segmenter(SegmenterRecipe(epochs=0), RunOptions(), None)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: epochs must be at least 1, got 0
    """
    recipe.check()
    workdir = workdir_of(options)
    splits = [_in_memory(part) for part in (source, validation, test)]
    mean, std = color_statistics(splits[0].arrays["image"][:: max(1, len(source) // 64)])
    names, labels = source.class_names, splits[0].arrays["masks"]
    shares = np.array([(labels == k).sum() for k in range(len(names))]) / max(labels.size, 1)
    weights = np.maximum(shares, 1e-4) ** -recipe.balance
    task = segmentation(
        names,
        void=source.void,
        class_weights=(weights / weights.mean()).tolist(),
        preprocess=Standardization(mean, std).apply,
    )
    steps = max(1, recipe.epochs * (len(source) // recipe.batch_size))
    info = {
        "class_names": list(names),
        "size": list(source.size),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "width": recipe.width,
    }
    return fit(
        small_segmenter(len(names), width=recipe.width),
        splits[0],
        task=task,
        optimizer=warm_adamw(recipe, steps),
        workdir=workdir,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation=splits[1],
        test=splits[2],
        early_stopping=None if validation is None else EarlyStopping(2**31 - 1, mode="max"),
        monitor="mIoU",
        prepare=random_changes(recipe, mean, mask_fill=source.void),
        seed=recipe.seed,
        meta={"segmenter": info},
        settings={
            "recipe": asdict(recipe),
            "class_names": list(names),
            "size": list(source.size),
            "void": source.void,
        },
        title="segmenter",
        options=options,
    )


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained segmenter: image files to class numbers.

    Attributes:
        class_names: in the order of the numbers.
        size: (H, W) of the canvas that images are fitted into.
        scores: images uint8 (B, H, W, 3) → (B, H, W, K).

    >>> import jax.numpy as jnp
    >>> segmenter = Segmenter(("road", "sky"), (8, 8), lambda x: jnp.zeros((*x.shape[:3], 2)))
    >>> segmenter.label(np.zeros((4, 6, 3), np.uint8)).shape
    (4, 6)
    """

    class_names: tuple[str, ...]
    size: tuple[int, int]
    scores: Any

    def label(self, image: np.ndarray | Path | str) -> np.ndarray:
        """The class number of every pixel of an image, uint8 or int32 (H, W).

        Args:
            image: a file, or uint8 (H, W, 3).

        Returns:
            (H, W), of the image's own size.
        """
        if not isinstance(image, np.ndarray):
            image = read_image(image)
        inside = fitted_size(image.shape[:2], self.size)
        canvas = np.zeros((1, *self.size, 3), np.uint8)
        canvas[0, : inside[0], : inside[1]] = resize(image, inside)
        labels = np.asarray(self.scores(canvas)[0].argmax(-1), np.int32)
        return resize(labels[: inside[0], : inside[1]], image.shape[:2], nearest=True)


def load_segmenter(workdir: Path | str) -> Segmenter:
    """The segmenter of a run of `train_segmenter`.

    Args:
        workdir: the run's directory.

    Returns:
        `Segmenter`, with the parameters that were best on the validation images.

    Raises:
        JaxnetsError: no run or no checkpoint there, or a run of something else.

    >>> load_segmenter("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir)
    if "segmenter" not in found.meta:
        raise JaxnetsError(f"{workdir} holds a run, but not of a segmenter")
    info = found.meta["segmenter"]
    network = small_segmenter(len(info["class_names"]), width=info["width"])
    apply_fn = network_functions(network)[1]
    standardization = Standardization(np.asarray(info["mean"]), np.asarray(info["std"]))

    @jax.jit
    def scores(images):
        return apply_fn(found.variables, standardization.apply(images), train=False)

    return Segmenter(tuple(info["class_names"]), tuple(info["size"]), scores)


def draw_labels(image: np.ndarray, labels: np.ndarray, colors: Sequence[Any]) -> np.ndarray:
    """An image with its pixels tinted by class.

    Args:
        image: uint8 (H, W, 3).
        labels: integer (H, W); numbers without a color stay as they are.
        colors: red, green, blue from 0 to 255 of each class.

    Returns:
        uint8 (H, W, 3).

    >>> draw_labels(np.zeros((1, 2, 3), np.uint8), np.array([[0, 9]]), [(200, 0, 0)]).tolist()
    [[[120, 0, 0], [0, 0, 0]]]
    """
    table = np.asarray(colors, np.float64)
    known = (labels >= 0) & (labels < len(table))
    tint = table[np.where(known, labels, 0)]
    mixed = np.where(known[..., None], 0.4 * image + 0.6 * tint, image)
    return mixed.round().astype(np.uint8)


def _in_memory(source: LabelImageSource | None) -> ArraySource | None:
    return None if source is None else ArraySource(source.take(np.arange(len(source))), source.info)
