"""How much do the features of each layer, and of how few images, say about the class?"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.program import compiled, names
from jaxnets.interpret.svm import fit_linear_svm
from jaxnets.interpret.targets import as_map
from jaxnets.models import features
from jaxnets.ops import adaptive_avg_pool
from jaxnets.transfer import LinearClassifier, compute_features, fit_linear_probe


class LayerProbe(NamedTuple):
    """What a linear classifier makes of one layer.

    Attributes:
        train: accuracy on the images that it was fitted to.
        test: accuracy on others.
        dimension: length of the features.
        svm: the classifier, of standardized features.

    >>> LayerProbe._fields
    ('train', 'test', 'dimension', 'svm')
    """

    train: float
    test: float
    dimension: int
    svm: LinearClassifier


def layer_features(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: np.ndarray,
    layers: str | Sequence[str],
    *,
    side: int | None = None,
    batch_size: int = 256,
    preprocess: Callable[[Any], jax.Array] | None = None,
) -> dict[str, np.ndarray]:
    """Features of a whole set of images at some layers, in one pass.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        images: (N, H, W, C).
        layers: endpoints or paths of submodules, one or several.
        side: maps with more rows or columns are averaged down to so many (default: as they are).
        batch_size: images that are computed together.
        preprocess: images as stored → as the network takes them.

    Returns:
        Layer → (N, D), each map flattened.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: no images.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), np.ones((5, 8, 8, 1), np.float32)
    >>> variables = model.init(jax.random.key(0), x)
    >>> layer_features(model, variables, x, "layers_0", side=2)["layers_0"].shape
    (5, 16)
    """
    layers = names(layers)
    run = compiled(_flat, model, layers, side, preprocess)
    joined = compute_features(run, variables, np.asarray(images), batch_size)
    x = jnp.zeros((1, *images.shape[1:]), images.dtype)
    widths = [int(w) for w in _widths(model, layers, side, preprocess, variables, x)]
    parts = np.split(joined, np.cumsum(widths)[:-1], axis=1)
    return dict(zip(layers, parts, strict=True))


def _parts(model, layers, side, preprocess, variables, x):
    x = x if preprocess is None else preprocess(x)
    for value in features(model, variables, x, taps=layers).values():
        value = as_map(value)
        if side is not None and max(value.shape[1:3]) > side:
            value = adaptive_avg_pool(value, tuple(min(side, n) for n in value.shape[1:3]))
        yield value.reshape(len(value), -1)


def _flat(model, layers, side, preprocess, variables, x):
    return jnp.concatenate([*_parts(model, layers, side, preprocess, variables, x)], axis=1)


def _widths(model, layers, side, preprocess, variables, x):
    shapes = jax.eval_shape(
        lambda v, x: [*_parts(model, layers, side, preprocess, v, x)], variables, x
    )
    return [shape.shape[1] for shape in shapes]


def layer_probes(
    model: nn.Module,
    variables: Mapping[str, Any],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    layers: str | Sequence[str],
    *,
    num_classes: int | None = None,
    penalty: float = 0.01,
    side: int | None = 4,
    batch_size: int = 256,
    preprocess: Callable[[Any], jax.Array] | None = None,
) -> dict[str, LayerProbe]:
    """Classify by the features of every layer with a linear SVM: the deeper, the better?

    Features are standardized by the training images. Early maps are averaged to a few positions,
    so that no layer wins by its mere length.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        train, test: images (N, H, W, C) and labels (N,).
        layers: endpoints or paths of submodules.
        num_classes: K (default: the largest label + 1).
        penalty: C of `fit_linear_svm`.
        side, batch_size, preprocess: of `layer_features`.

    Returns:
        Layer → `LayerProbe`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: labels that do not fit the images.

    Source: Zeiler & Fergus 2014, §5.3, table 7.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), np.eye(8, dtype="f").reshape(8, 2, 4, 1)
    >>> variables, y = model.init(jax.random.key(0), x), np.arange(8) % 2
    >>> layer_probes(model, variables, (x, y), (x, y), "layers_0")["layers_0"].dimension
    32
    """
    (x, labels), (x_test, test_labels) = train, test
    num_classes = num_classes or int(np.max(labels)) + 1
    options = {"side": side, "batch_size": batch_size, "preprocess": preprocess}
    ours = layer_features(model, variables, x, layers, **options)
    others = layer_features(model, variables, x_test, layers, **options)
    probes = {}
    for layer, values in ours.items():
        mean, std = values.mean(0), values.std(0)
        scale = np.where(std > 1e-6 * max(std.max(), 1e-30), 1 / np.maximum(std, 1e-30), 0)
        values, held_out = (values - mean) * scale, (others[layer] - mean) * scale
        svm = fit_linear_svm(values, labels, num_classes, penalty=penalty)
        probes[layer] = LayerProbe(
            svm.accuracy(values, labels),
            svm.accuracy(held_out, test_labels),
            values.shape[1],
            svm,
        )
    return probes


class TransferCurve(NamedTuple):
    """Accuracy against the number of training images of each class.

    Attributes:
        shots: images of each class.
        accuracy: on the test images, (repetitions, len(shots)).

    >>> TransferCurve((1, 2), np.array([[0.5, 0.7], [0.7, 0.9]])).mean.round(1).tolist()
    [0.6, 0.8]
    """

    shots: tuple[int, ...]
    accuracy: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Over repetitions, (len(shots),)."""
        return self.accuracy.mean(0)


Learner = Callable[[Any, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]


def feature_transfer(
    key: jax.Array,
    sources: Mapping[str, tuple[nn.Module, Mapping[str, Any], str]],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    shots: Sequence[int],
    *,
    repetitions: int = 3,
    l2: float = 1e-2,
    side: int | None = 1,
    preprocess: Callable[[Any], jax.Array] | None = None,
    learners: Mapping[str, Learner] | None = None,
) -> dict[str, TransferCurve]:
    """How well do frozen features serve other classes, with k images of each? And what else does?

    A softmax regression is fitted on each source's features (`jaxnets.transfer.fit_linear_probe`),
    for every k, on the same images for all sources.

    Args:
        key: draws the training images of each repetition.
        sources: name → (model, variables, layer whose features are used).
        train: images (N, H, W, C) and labels (N,) to draw from.
        test: images and labels.
        shots: numbers k, each at most what the rarest class has.
        repetitions: draws.
        l2: of the regression.
        side: of `layer_features`; 1 averages a map over its positions.
        preprocess: images as stored → as the networks take them.
        learners: name → another way to learn, such as a network from scratch: a function of (key,
            images, labels) that returns a function from images to class numbers.

    Returns:
        Name → `TransferCurve`.

    Raises:
        ValueError: a k that a class does not have, or no repetition.

    Source: Zeiler & Fergus 2014, §5.2, figure 9.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), np.eye(8, dtype="f").reshape(8, 2, 4, 1)
    >>> source, y = (model, model.init(jax.random.key(0), x), "layers_0"), np.arange(8) % 2
    >>> found = feature_transfer(jax.random.key(0), {"own": source}, (x, y), (x, y), [1, 3])
    >>> found["own"].accuracy.shape
    (3, 2)
    """
    (x, labels), (x_test, test_labels) = train, test
    labels, test_labels = np.asarray(labels), np.asarray(test_labels)
    num_classes = int(labels.max()) + 1
    rarest = int(np.bincount(labels, minlength=num_classes).min())
    if repetitions < 1:
        raise ValueError(f"repetitions: got {repetitions}; expected at least 1")
    if not shots or min(shots) < 1 or max(shots) > rarest:
        raise ValueError(
            f"shots: got {list(shots)}; expected numbers from 1 to {rarest}, the number of images "
            "of the rarest class"
        )
    # The rows that each repetition takes: the first k of each class in a random order.
    orders = [
        np.asarray(jax.random.permutation(k, len(labels)))
        for k in jax.random.split(key, repetitions)
    ]
    drawn = [
        [np.concatenate([o[labels[o] == c][:k] for c in range(num_classes)]) for k in shots]
        for o in orders
    ]
    curves = {}
    for name, (model, variables, layer) in sources.items():
        read = partial(layer_features, model, variables, side=side, preprocess=preprocess)
        ours, held_out = read(x, layer)[layer], read(x_test, layer)[layer]

        def fit(rows, ours=ours, held_out=held_out):
            probe = fit_linear_probe(ours[rows], labels[rows], num_classes, l2=l2)
            return probe.accuracy(held_out, test_labels)

        curves[name] = [[fit(rows) for rows in row] for row in drawn]
    for name, learn in (learners or {}).items():
        curves[name] = [
            [
                float((learn(one, x[rows], labels[rows])(x_test) == test_labels).mean())
                for one, rows in zip(
                    jax.random.split(jax.random.fold_in(key, i), len(row)), row, strict=True
                )
            ]
            for i, row in enumerate(drawn)
        ]
    return {name: TransferCurve(tuple(shots), np.asarray(c)) for name, c in curves.items()}
