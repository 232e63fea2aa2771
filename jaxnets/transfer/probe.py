"""Linear probes: compute the features once, then fit the classifier by L-BFGS."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError
from jaxnets.losses import cross_entropy
from jaxnets.models import features
from jaxnets.optim import minimize
from jaxnets.optim.trees import check_count, check_number
from jaxnets.transfer.layers import head_layers


class LinearProbe(NamedTuple):
    """Softmax regression: logits = x·kernel + bias, kernel (D, K), bias (K,)."""

    kernel: jax.Array
    bias: jax.Array
    iterations: int = 0
    converged: bool = True

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, D) → logits (N, K)."""
        return x @ self.kernel + self.bias

    def accuracy(self, x: jax.Array, labels: jax.Array) -> float:
        """Share of the right answers."""
        return float((self(x).argmax(-1) == jnp.asarray(labels)).mean())


def _probe_loss(params, x, labels, weights, l2):
    loss = cross_entropy(x @ params["kernel"] + params["bias"], labels, weights=weights)
    return loss + 0.5 * l2 * jnp.sum(params["kernel"] ** 2)


@jax.jit
def _standardize(x, weights):
    """(standardized x, mean, 1/std), with 0 for a feature that does not change."""
    share = weights / weights.sum()
    mean = share @ x
    std = jnp.sqrt(share @ (x - mean) ** 2)
    # A feature that hardly changes says nothing; dividing by its spread would only magnify noise.
    varies = std > 1e-6 * jnp.maximum(std.max(), 1e-30)
    scale = jnp.where(varies, 1 / jnp.maximum(std, 1e-30), 0.0)
    return (x - mean) * scale, mean, scale


def fit_linear_probe(
    x: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    l2: float = 1e-3,
    weights: jax.Array | None = None,
    tol: float = 1e-4,
    max_iterations: int = 500,
) -> LinearProbe:
    """The softmax regression on given features: minimum of cross entropy + λ/2 ‖W‖².

    The problem is convex and small, and the features do not change, so that L-BFGS on the whole
    set finds the minimum in seconds, without a learning rate. Features are standardized for the
    fit, and the standardization is folded into the result.

    Args:
        x: features (N, D).
        labels: (N,) class numbers.
        num_classes: K.
        l2: λ ≥ 0, on the standardized features' weights.
        weights: (N,) ≥ 0, of the examples; those of weight 0 are as if they were not there. Folds
            of a cross-validation then share one compiled program.
        tol, max_iterations: of `jaxnets.optim.minimize`.

    Raises:
        ValueError: shapes that do not fit, labels outside 0 … K−1, or λ below 0.

    >>> x = jnp.array([[0.0], [0.1], [0.2], [1.0], [0.9], [0.8]])
    >>> labels = jnp.array([0, 0, 0, 1, 1, 1])
    >>> fit_linear_probe(x, labels, 2).accuracy(x, labels)
    1.0
    """
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1] or not len(x):
        raise ValueError(f"x must be (N, D) with labels (N,), got {x.shape} and {labels.shape}")
    check_number("l2", l2, low=0)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"labels must lie in 0 … {num_classes - 1}, got {lowest} … {highest}")
    weights = jnp.ones(len(x), x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    if weights.shape != labels.shape or not bool((weights >= 0).all() & (weights.sum() > 0)):
        raise ValueError(
            f"weights must be (N,), not negative and not all 0, got shape {weights.shape}"
        )
    standard, mean, scale = _standardize(x, weights)
    start = {
        "kernel": jnp.zeros((x.shape[1], num_classes), x.dtype),
        "bias": jnp.zeros(num_classes, x.dtype),
    }
    found = minimize(
        _probe_loss,
        start,
        args=(standard, labels, weights, jnp.asarray(l2, x.dtype)),
        tol=tol,
        max_iterations=max_iterations,
    )
    kernel = found.x["kernel"] * scale[:, None]
    return LinearProbe(
        kernel, found.x["bias"] - mean @ kernel, int(found.iterations), bool(found.converged)
    )


def cross_validate(
    x: jax.Array, labels: jax.Array, num_classes: int, *, folds: int = 4, seed: int = 0, **options
) -> float:
    """Accuracy of `fit_linear_probe` on examples that it was not fitted on, every example once.

    Args:
        x, labels, num_classes: as `fit_linear_probe` takes them.
        folds: at least 2, at most N.
        seed: of the folds.
        **options: of `fit_linear_probe`.

    >>> x = jnp.array([[0.0], [0.1], [0.2], [1.0], [0.9], [0.8]])
    >>> cross_validate(x, jnp.array([0, 0, 0, 1, 1, 1]), 2, folds=3)
    1.0
    """
    x, labels = jnp.asarray(x), np.asarray(labels)
    check_count("folds", folds, low=2)
    if len(labels) < folds:
        raise ValueError(
            f"folds must be at most {len(labels)}, the number of examples, got {folds}"
        )
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    right = 0
    for f in range(folds):
        probe = fit_linear_probe(x, labels, num_classes, weights=fold != f, **options)
        right += int(((np.asarray(probe(x)).argmax(-1) == labels) & (fold == f)).sum())
    return right / len(labels)


def head_inputs(model: nn.Module, variables: Mapping[str, Any], x: jax.Array) -> jax.Array:
    """What the network's last linear layer sees, (N, D). Pure.

    Args:
        model: a network whose head is one Dense layer.
        variables: its variables.
        x: images (N, H, W, C), ready for the network.

    Raises:
        ValueError: the head is something else.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("resnet20", blocks=1, widths=(4,)), jnp.ones((3, 8, 8, 3))
    >>> head_inputs(net, net.init(jax.random.key(0), x), x).shape
    (3, 4)
    """
    name = _dense_head(model, variables, x.shape[1:])
    seen = []

    def watch(next_method, args, kwargs, context):
        if context.module.path == (name,) and context.method_name == "__call__":
            seen.append(args[0])
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        model.apply(variables, x, train=False)
    return seen[-1]


def endpoint_features(
    model: nn.Module, variables: Mapping[str, Any], x: jax.Array, endpoint: str
) -> jax.Array:
    """An endpoint's feature map, averaged over its places: (N, D). Pure.

    Raises:
        UnknownNameError: no such endpoint; the message offers the nearest names.
    """
    maps = features(model, variables, x)
    if endpoint not in maps:
        raise UnknownNameError("endpoint", endpoint, maps)
    found = maps[endpoint]
    return found.mean(tuple(range(1, found.ndim - 1))) if found.ndim > 2 else found


def compute_features(
    feature_fn: Callable[[Any, jax.Array], jax.Array],
    variables: Any,
    images: np.ndarray,
    batch_size: int = 256,
) -> np.ndarray:
    """A function of batches of images over a whole set.

    Args:
        feature_fn: (variables, (B, H, W, C)) → (B, D); preprocessing belongs into it. The same
            function object is compiled once, for whatever variables.
        variables: its first argument.
        images: (N, H, W, C) as stored.
        batch_size: B; the last batch is filled up, and cut off again.

    Raises:
        ValueError: no images.

    >>> compute_features(lambda v, x: v * x.reshape(len(x), -1), 2, np.ones((5, 2, 2, 1)), 2).shape
    (5, 4)
    """
    if not len(images):
        raise ValueError("images must not be empty")
    batch_size = min(batch_size, len(images))
    run, parts = jax.jit(feature_fn), []
    for start in range(0, len(images), batch_size):
        part = np.asarray(images[start : start + batch_size])
        missing = batch_size - len(part)
        if missing:
            part = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
        parts.append(np.asarray(run(variables, part))[: batch_size - missing])
    return np.concatenate(parts)


def set_head(
    model: nn.Module, variables: Mapping[str, Any], probe: LinearProbe, input_shape
) -> dict[str, Any]:
    """The network's variables with a probe, fitted on its `head_inputs`, as their classifier.

    Raises:
        ValueError: the head is not one Dense layer, or of another shape.
    """
    name = _dense_head(model, variables, input_shape)
    shapes = {k: jnp.shape(v) for k, v in variables["params"][name].items()}
    wanted = {"kernel": probe.kernel.shape, "bias": probe.bias.shape}
    if shapes != wanted:
        raise ValueError(f"probe must have the shapes of {name}, {shapes}, got {wanted}")
    params = {**variables["params"], name: {"kernel": probe.kernel, "bias": probe.bias}}
    return {**variables, "params": params}


def _dense_head(model, variables, input_shape) -> str:
    head = head_layers(model, input_shape)
    if len(head) != 1 or jnp.ndim(variables["params"][head[0]].get("kernel")) != 2:
        raise ValueError(
            f"model must end in one Dense layer, got a head of {', '.join(head) or 'nothing'}; "
            "take endpoint_features"
        )
    return head[0]
