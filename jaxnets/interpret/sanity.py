"""Does an explanation depend on what the network has learned? Randomize its layers and look."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.backward import pixel_map
from jaxnets.interpret.program import check_images, compiled, run_network
from jaxnets.models.features import call_keywords
from jaxnets.transfer import copy_layers, layer_names

Method = Callable[[nn.Module, Mapping[str, Any], jax.Array, Any], jax.Array]


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the ranks of two maps, image by image.

    Args:
        a, b: (N, …).

    Returns:
        (N,), from −1 to 1; 0 where a map is constant.

    >>> rank_correlation(np.array([[1, 2, 9]]), np.array([[10, 20, 30]])).round(6).tolist()
    [1.0]
    """
    from scipy.stats import rankdata

    out = []
    for one, other in zip(np.asarray(a), np.asarray(b), strict=True):
        x, y = (rankdata(v.ravel()) for v in (one, other))
        x, y = x - x.mean(), y - y.mean()
        below = np.linalg.norm(x) * np.linalg.norm(y)
        out.append(x @ y / below if below > 0 else 0.0)
    return np.asarray(out)


def sanity_check(
    key: jax.Array,
    method: Method,
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Any = None,
) -> dict[str, np.ndarray]:
    """Randomize layer after layer, from the last to the first, and compare the maps.

    An explanation of what was learned must change when what was learned is thrown away. The
    similarity is the rank correlation of the maps' absolute values with those of the trained
    network; guided backpropagation's stays high, which is a failure of guided backpropagation.

    Args:
        key: of the random layers.
        method: such as `jaxnets.interpret.saliency`, called with (model, variables, images,
            target); it returns (N, H, W, C) or maps (N, h, w).
        model: any Flax module that takes images first.
        variables: the trained network's.
        images: (N, H, W, C), as the network takes them.
        target: a class, or one for each image; None: what the trained network predicts, for all.

    Returns:
        The layer that was randomized last → similarity of each image's map, (N,); from the last
        layer to the first, at which the whole network is random.

    Source: Adebayo et al. 2018 (Sanity Checks for Saliency Maps), §3.1.

    >>> from jaxnets.interpret import saliency
    >>> model, x = nn.Sequential([nn.Conv(4, (1, 1)), lambda x: x.mean((1, 2)), nn.Dense(3)]), (
    ...     jax.random.normal(jax.random.key(0), (2, 4, 4, 3)))
    >>> variables = model.init(jax.random.key(1), x)
    >>> list(sanity_check(jax.random.key(2), saliency, model, variables, x))
    ['layers_2', 'layers_0']
    """
    images = check_images(images)
    if target is None:
        logits = compiled(_logits, model)(variables, images)
        target = logits.argmax(-1)
    keywords = call_keywords(model)
    keys = {"params": key, "dropout": key}
    fresh = jax.jit(lambda x: model.init(keys, x, **keywords))(images)
    before = _absolute(method(model, variables, images, target))
    similarity, changed = {}, variables
    for layer in reversed(layer_names(model, images.shape[1:])):
        changed = copy_layers(changed, fresh, [layer])
        after = _absolute(method(model, changed, images, target))
        similarity[layer] = rank_correlation(before, after)
    return similarity


def _logits(model, variables, images):
    return run_network(model, variables, images)[0]


def _absolute(maps) -> np.ndarray:
    maps = jnp.asarray(maps)
    return np.asarray(pixel_map(maps) if maps.ndim == 4 else jnp.abs(maps))
