"""What the recipes of small detectors and segmenters share: checks, changes of images, AdamW."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets import optim
from jaxnets.augment import (
    color_jitter,
    compose,
    per_example,
    random_flip,
    random_rotate,
    random_scale,
)
from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import read_trunk
from jaxnets.train import RunOptions


class ImageRecipe(Protocol):
    """The fields that are read here."""

    learning_rate: Any
    weight_decay: Any
    scales: Any
    jitter: Any


def check_recipe(recipe: Any, counts: Sequence[str]) -> None:
    """Refuse values that no training can have.

    Args:
        recipe: with a ``learning_rate``.
        counts: names of its fields that are 1 or more.

    Raises:
        JaxnetsError: one that is less, or a rate that is not above 0.

    >>> from types import SimpleNamespace
    >>> check_recipe(SimpleNamespace(epochs=3, learning_rate=0.0), ["epochs"])
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: learning_rate must be above 0, got 0.0
    """
    for name in counts:
        if getattr(recipe, name) < 1:
            raise JaxnetsError(f"{name} must be at least 1, got {getattr(recipe, name)}")
    if not recipe.learning_rate > 0:
        raise JaxnetsError(f"learning_rate must be above 0, got {recipe.learning_rate}")


def workdir_of(options: RunOptions) -> Path:
    """The directory of the run.

    Raises:
        JaxnetsError: there is none.

    >>> workdir_of(RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    if options.workdir is None:
        raise JaxnetsError("workdir: got none; a run needs a directory, --workdir DIRECTORY")
    return options.workdir


def color_statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, to a hundredth of a gray level.

    Args:
        pixels: (N, H, W, C).

    Returns:
        Two of (C,), float64; the deviation is 1 at least.

    >>> [part.tolist() for part in color_statistics(np.full((1, 2, 2, 1), 7))]
    [[7.0], [1.0]]
    """
    pixels = pixels.astype(np.float64)
    return pixels.mean((0, 1, 2)).round(2), np.maximum(pixels.std((0, 1, 2)), 1.0).round(2)


def random_changes(
    recipe: ImageRecipe,
    mean: Any,
    *,
    flip: bool = True,
    degrees: float = 0.0,
    pairs: Sequence[tuple[int, int]] = (),
    **fill: Any,
) -> Callable[..., Any]:
    """Random changes of training examples, with all that is marked in them.

    The angle, the scale, a mirror image, the colors.

    Args:
        recipe: how far.
        mean: the color of what comes into view.
        flip: mirror half of the images.
        degrees: turned either way by up to this angle.
        pairs: of keypoints, see `jaxnets.augment.random_flip`.
        fill: further arguments of `jaxnets.augment.random_scale`.

    Returns:
        (key, batch, example_ids) → batch.

    >>> import jax
    >>> from types import SimpleNamespace
    >>> recipe = SimpleNamespace(scales=(1.0, 1.0), jitter=0.0)
    >>> batch = {"image": jnp.zeros((1, 4, 4, 3), jnp.uint8)}
    >>> change = random_changes(recipe, (0.0, 0.0, 0.0))
    >>> change(jax.random.key(0), batch, jnp.arange(1))["image"].shape
    (1, 4, 4, 3)
    """
    color = jnp.asarray(mean, jnp.float32)
    changes = [partial(random_scale, scales=recipe.scales, fill=color, **fill)]
    if degrees:
        changes.insert(0, partial(random_rotate, degrees=degrees, fill=color))
    if flip:
        changes.append(partial(random_flip, pairs=pairs))
    if recipe.jitter:
        amount = dict.fromkeys(("brightness", "contrast", "saturation"), recipe.jitter)
        changes.append(partial(color_jitter, **amount))
    return per_example(compose(*changes))


def warm_adamw(recipe: ImageRecipe, steps: int) -> optax.GradientTransformation:
    """AdamW whose rate rises over the first twentieth of the updates and falls along a cosine.

    Args:
        recipe: its highest rate and its decay, of kernels.
        steps: updates in all.

    Returns:
        The transformation.

    >>> from types import SimpleNamespace
    >>> rule = warm_adamw(SimpleNamespace(learning_rate=0.1, weight_decay=0.0), 40)
    >>> params = {"kernel": jnp.ones((1, 1))}
    >>> _, state = rule.update(params, rule.init(params), params)  # the rate begins at 0
    >>> updates, _ = rule.update(params, state, params)
    >>> round(updates["kernel"].item(), 3)  # halfway up
    -0.05
    """
    warm = max(1, steps // 20)
    schedule = optim.schedules.warm_up(
        optim.schedules.cosine(recipe.learning_rate, max(1, steps - warm)), warm
    )
    return optax.adamw(schedule, weight_decay=recipe.weight_decay, mask=optim.mask_by_name)


def begin_on_trunk(
    network: nn.Module, size: tuple[int, int], trunk: Path | None, *, at: str, seed: int
) -> dict[str, Any] | None:
    """First variables of a network that stands on a ShuffleNetV2: random, but for its weights.

    Args:
        network: whose part it is.
        size: (H, W) of images.
        trunk: a file of its weights, see `jaxnets.pretrained.read_trunk`; None: there is none.
        at: where the network has it, such as "backbone/network".
        seed: of all else.

    Returns:
        ``{"params": …, "batch_stats": …}``, None without a trunk.

    Raises:
        JaxnetsError: the file is damaged or of something else.

    >>> begin_on_trunk(nn.Dense(1), (32, 32), Path("/nowhere"), at="maps/network", seed=0)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere: ...
    """
    if trunk is None:
        return None
    weights = flatten_dict(read_trunk(trunk), sep="/")
    images = np.zeros((1, *size, 3), np.float32)
    variables = jax.jit(network.init)(jax.random.key(seed), images)
    flat = flatten_dict(jax.device_get(variables), sep="/")
    for path, array in weights.items():
        kind, _, inside = path.partition("/")
        flat[f"{kind}/{at}/{inside}"] = array
    return unflatten_dict(flat, sep="/")
