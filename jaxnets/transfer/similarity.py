"""How similar are two data sets to a network? What its features are worth on new data."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.transfer.features import compute_features, head_inputs
from jaxnets.transfer.probe import cross_validate


def measure_similarity(
    key: jax.Array,
    model: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    labels: np.ndarray,
    *,
    preprocess: Callable[[jax.Array], jax.Array] = lambda x: x,
    num_classes: int | None = None,
    folds: int = 4,
    l2: float = 1e-2,
) -> dict[str, float]:
    """How far pretrained features go towards perfect ones, beyond features that were not learned.

    .. math:: s = \\max(0, \\frac{a_{pretrained} − a_0}{1 − a_0}), \\quad
        a_0 = \\max(a_{pixels}, a_{random})

    with a the cross-validated accuracy of linear probes: on the pretrained network's features, on
    the pixels, and on the features of the same network with random weights.

    Args:
        key: of the random network and the folds.
        model, variables: the pretrained network; its head must be one Dense layer.
        images, labels: of the new task, (N, H, W, C) as stored and (N,).
        preprocess: images as stored → images as the network wants them.
        num_classes: K (default: largest label + 1).
        folds: each is tested once, by a probe fitted on the others; at least 2.
        l2: of the probes.

    Returns:
        ``{"similarity": s, "pretrained", "random", "pixels": their accuracies}``.

    Raises:
        ValueError: fewer than 2 folds or fewer examples than folds.

    >>> from jaxnets.models import create_model
    >>> net, images = create_model("mlp", hidden=(4,)), np.eye(8).reshape(8, 2, 4, 1)
    >>> variables = net.init(jax.random.key(0), images)
    >>> found = measure_similarity(jax.random.key(1), net, variables, images, np.arange(8) % 2)
    >>> sorted(found)
    ['pixels', 'pretrained', 'random', 'similarity']
    """
    labels = np.asarray(labels)
    if len(images) != len(labels):
        raise ValueError(f"images and labels must be as many, got {len(images)} and {len(labels)}")
    num_classes = num_classes or int(labels.max()) + 1
    init_key, fold_key = jax.random.split(key)
    example = preprocess(np.asarray(images[:1]))
    random = jax.jit(lambda k: model.init({"params": k, "dropout": k}, example, train=False))(
        init_key
    )
    seed = int(jax.random.randint(fold_key, (), 0, 2**31 - 1))

    def last_features(variables, x):
        return head_inputs(model, variables, preprocess(x))

    def pixels(_, x):
        return preprocess(x).reshape(len(x), -1)

    sources = {
        "pretrained": (last_features, variables),
        "random": (last_features, random),
        "pixels": (pixels, None),
    }
    out = {}
    for name, (feature_fn, arrays) in sources.items():
        x = compute_features(feature_fn, arrays, np.asarray(images))
        out[name] = cross_validate(x, labels, num_classes, folds=folds, seed=seed, l2=l2)
    base = max(out["random"], out["pixels"])
    gain = (out["pretrained"] - base) / max(1 - base, 1e-9)
    return {"similarity": float(np.clip(gain, 0, 1)), **out}
