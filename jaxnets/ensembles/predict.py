"""The prediction of several networks: the mean of their softmaxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.precision import at_least_float32

Variables = Any


def average_probabilities(logits: jax.Array, weights: jax.Array | None = None) -> jax.Array:
    """The ensemble's class probabilities, p = (1/k) Σᵢ softmax(zᵢ): probabilities, not logits.

    By Jensen's inequality the negative log-likelihood of p is at most the mean of the members'.

    Args:
        logits: (k, …, K), one slice for each member.
        weights: (k,), positive; they are divided by their sum. None weighs all alike.

    Returns:
        (…, K), float32 or wider; sums to 1 over the last axis.

    Raises:
        ValueError: no members, no class axis, or weights that do not fit.

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012, section 6; Szegedy et al., "Going deeper with convolutions", 2015, section 7,
    average the softmaxes of seven networks.

    >>> z = jnp.log(jnp.array([[0.9, 0.1], [0.5, 0.5]]))
    >>> [round(float(p), 4) for p in average_probabilities(z)]
    [0.7, 0.3]
    """
    logits = jnp.asarray(logits)
    if logits.ndim < 2 or logits.shape[0] == 0:
        raise ValueError(
            f"logits must be (k, …, K) with at least one member, got shape {logits.shape}"
        )
    probabilities = jax.nn.softmax(at_least_float32(logits), axis=-1)
    if weights is None:
        return probabilities.mean(0)
    weights = jnp.asarray(weights, probabilities.dtype)
    if weights.shape != logits.shape[:1]:
        raise ValueError(
            f"weights must be one number a member, shape {logits.shape[:1]}, got {weights.shape}"
        )
    return jnp.tensordot(weights / weights.sum(), probabilities, axes=1)


def stack_variables(members: Sequence[Variables]) -> Variables:
    """Trees of equal structure and shapes as one tree whose leaves have a first axis k.

    Args:
        members: k trees of arrays.

    Returns:
        One tree of the same structure.

    Raises:
        ValueError: no members, or members that differ; the message names the first difference.

    >>> stack_variables([{"w": jnp.zeros(3)}, {"w": jnp.ones(3)}])["w"].shape
    (2, 3)
    """
    require_same_structure(members)
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *members)


def ensemble_predict(
    apply_fn: Callable,
    variables: Sequence[Variables] | Variables,
    images: jax.Array,
    *,
    weights: jax.Array | None = None,
    mode: Literal["vmap", "loop"] = "vmap",
) -> jax.Array:
    """Mean softmax of members that share one network. Pure: jit it.

    Args:
        apply_fn: the network's ``apply``.
        variables: a list of the members' variables, or the tree that `stack_variables` makes.
        images: (N, H, W, C), ready for the network.
        weights: as in `average_probabilities`.
        mode: "vmap" runs all members at once, which suits accelerators. A CPU computes one
            convolution with k sets of kernels badly: "loop" runs one member after the other.

    Returns:
        (N, K) probabilities.

    Raises:
        ValueError: no members, members that differ, or an unknown mode.

    >>> from jaxnets.models import create_model
    >>> net, x = create_model("mlp", hidden=(4,), num_classes=3), jnp.ones((2, 4, 4, 1))
    >>> members = [net.init(jax.random.key(i), x) for i in range(5)]
    >>> p = ensemble_predict(net.apply, members, x)
    >>> p.shape, round(float(p[0].sum()), 5)
    ((2, 3), 1.0)
    """
    if mode not in ("vmap", "loop"):
        raise ValueError(f"mode must be 'vmap' or 'loop', got {mode!r}")
    stacked = stack_variables(variables) if isinstance(variables, list | tuple) else variables
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(stacked)}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        raise ValueError(
            "variables must be a list of members or stacked along a first axis of one length "
            f"above 0, got leaves whose first axes are {sorted(sizes)}"
        )

    def one(member):
        return apply_fn(member, images, train=False)

    if mode == "vmap":
        logits = jax.vmap(one)(stacked)
    else:
        (count,) = sizes.pop()
        leaves, structure = jax.tree.flatten(stacked)
        members = [
            jax.tree.unflatten(structure, [leaf[i] for leaf in leaves]) for i in range(count)
        ]
        logits = jnp.stack([one(member) for member in members])
    return average_probabilities(logits, weights)


@dataclass(frozen=True, eq=False)  # compared by identity: it can be passed to jax.jit itself
class Ensemble:
    """Any networks with their variables, called like one: images → mean of the softmaxes.

    Members with equal networks and equal shapes run as one vmapped call under ``mode="vmap"``;
    different ones run one after the other.

    Attributes:
        networks: one a member; members may share the object.
        variables: theirs.
        preprocess: images as stored → images as the network wants them, one a member; None
            leaves the images alone.
        mode: as in `ensemble_predict`.

    Raises:
        ValueError: an empty ensemble, lists of different lengths, or different class counts.

    >>> from jaxnets.models import create_model
    >>> x = jnp.ones((2, 8, 8, 1))
    >>> nets = [create_model("mlp", hidden=(h,), num_classes=3) for h in (4, 8)]
    >>> both = Ensemble(nets, [net.init(jax.random.key(0), x) for net in nets])
    >>> both(x).shape
    (2, 3)
    """

    networks: Sequence[nn.Module]
    variables: Sequence[Variables]
    preprocess: Sequence[Callable] | None = None
    mode: Literal["vmap", "loop"] = "loop"

    def __post_init__(self):
        if not self.networks:
            raise ValueError("an ensemble needs at least one member, got none")
        if len(self.networks) != len(self.variables):
            raise ValueError(
                f"networks and variables must be as many, got {len(self.networks)} and "
                f"{len(self.variables)}"
            )
        if self.preprocess is not None and len(self.preprocess) != len(self.networks):
            raise ValueError(
                f"preprocess must be one function for each of {len(self.networks)} members, got "
                f"{len(self.preprocess)}"
            )
        if self.mode not in ("vmap", "loop"):
            raise ValueError(f"mode must be 'vmap' or 'loop', got {self.mode!r}")
        counts = [getattr(network, "num_classes", None) for network in self.networks]
        if len(set(counts)) > 1:
            raise ValueError(f"all members must have the same num_classes, got {counts}")

    def __len__(self) -> int:
        return len(self.networks)

    def member_logits(self, images: jax.Array) -> jax.Array:
        """(k, N, K) logits of every member. Pure."""
        inputs = [images if self.preprocess is None else f(images) for f in self._preprocesses()]
        if self.mode == "vmap" and self._alike():
            network = self.networks[0]
            return jax.vmap(lambda v, x: network.apply(v, x, train=False))(
                stack_variables(self.variables), jnp.stack(inputs)
            )
        logits = [
            network.apply(variables, x, train=False)
            for network, variables, x in zip(self.networks, self.variables, inputs, strict=True)
        ]
        if len({z.shape for z in logits}) > 1:
            raise ValueError(
                f"all members must have the same classes, got logits of shapes "
                f"{[z.shape for z in logits]}"
            )
        return jnp.stack(logits)

    def __call__(self, images: jax.Array) -> jax.Array:
        """(N, K) mean of the members' softmaxes. Pure."""
        return average_probabilities(self.member_logits(images))

    def _preprocesses(self) -> Sequence[Callable]:
        return self.preprocess or [lambda x: x] * len(self)

    def _alike(self) -> bool:
        forms = [jax.tree.map(np.shape, dict(v)) for v in self.variables]
        return all(n == self.networks[0] for n in self.networks) and all(
            form == forms[0] for form in forms
        )


def require_same_structure(members: Sequence[Variables]) -> None:
    """Raise a ValueError unless there are members, all with the same names and shapes.

    Args:
        members: trees of arrays.

    >>> require_same_structure([{"w": np.zeros(3)}, {"w": np.ones(3)}])
    """
    if not len(members):
        raise ValueError("an ensemble needs at least one member, got none")
    first = _forms(members[0])
    for number, member in enumerate(members[1:], start=1):
        other = _forms(member)
        for path in sorted(first.keys() | other.keys()):
            if first.get(path) != other.get(path):
                raise ValueError(
                    f"member {number} differs from member 0 at {path}: got "
                    f"{other.get(path, 'nothing')}, expected {first.get(path, 'nothing')}"
                )


def _forms(tree: Variables) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(p, simple=True, separator="/"): np.shape(x) for p, x in leaves}
