"""Weight sharing: a layer's weights take few values, and training moves the values.

Source: Han, Mao, Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained
Quantization and Huffman Coding", 2016, section 3.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.compress.kmeans import Start, kmeans
from jaxnets.compress.weights import per_layer
from jaxnets.errors import JaxnetsError


class SharedWeights(NamedTuple):
    """A network whose weights share values.

    Attributes:
        params: the parameters, a tree as before; a layer's weights are entries of its codebook.
        codebooks: path of a weight → (k,), float32.
        codes: path of a weight → the number of each weight's entry, int32, in the weight's shape.
        has_zero: path → whether entry 0 is the 0 of dropped weights, which does not move.

    >>> shared = share_weights({"fc": {"kernel": np.array([[0.0, 1.0, 1.1, 5.0]])}}, 8)
    >>> shared.codes["fc/kernel"].tolist(), shared.has_zero["fc/kernel"]
    ([[0, 1, 2, 3]], True)
    """

    params: dict[str, Any]
    codebooks: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    has_zero: dict[str, bool]


def share_weights(
    params: Mapping[str, Any],
    bits: int | Mapping[str, int],
    *,
    start: Start = "linear",
    key: jax.Array | None = None,
) -> SharedWeights:
    """Replace each weight by the nearest of 2^b values of its layer, found by k-means.

    In a layer with dropped weights 0 is one of the values, so that 2^b − 1 others remain. A layer
    of fewer different weights keeps them as they are.

    Args:
        params: nested dict of parameters.
        bits: b, from 1 to 16, for all weights or by layer; layers that are not named stay.
        start: of k-means, see `starting_centroids`.
        key: for a random start.

    Returns:
        `SharedWeights`.

    Raises:
        JaxnetsError: bits outside 1 … 16, an unknown layer.

    Source: Han, Mao, Dally, 2016, section 3.1.

    >>> shared = share_weights({"fc": {"kernel": np.array([[1.0, 2.0, 8.0, 9.0]])}}, 1)
    >>> shared.params["fc"]["kernel"].tolist()
    [[1.5, 1.5, 8.5, 8.5]]
    """
    flat = flatten_dict(dict(params), sep="/")
    codebooks, all_codes, has_zero = {}, {}, {}
    for number, (path, b) in enumerate(per_layer(params, bits, "bits", 0).items()):
        if b == 0:
            continue
        if b != int(b) or not 1 <= b <= 16:
            raise JaxnetsError(f"bits of {path} must be a whole number from 1 to 16, got {b}")
        weight = np.asarray(flat[path], np.float32)
        kept = weight != 0
        zero = not kept.all()
        values = weight[kept]
        clusters = min(2 ** int(b) - zero, len(np.unique(values)))
        codes = np.zeros(weight.shape, np.int32)
        codebook = np.zeros(int(zero), np.float32)
        if clusters:
            own = None if key is None else jax.random.fold_in(key, number)
            found = kmeans(values, clusters, start=start, key=own)
            codes[kept] = found.codes + int(zero)
            codebook = np.concatenate([codebook, found.centroids.astype(np.float32)])
        codebooks[path], all_codes[path], has_zero[path] = codebook, codes, zero
        flat[path] = codebook[codes]
    return SharedWeights(unflatten_dict(flat, sep="/"), codebooks, all_codes, has_zero)


class TieState(NamedTuple):
    """State of `tie`.

    Attributes:
        codes: path of a weight → the number of each weight's value, int32.
        inner: the state of the rule inside, over codebooks in place of weights.

    >>> shared = share_weights({"fc": {"kernel": np.array([[1.0, 2.0, 8.0, 9.0]])}}, 1)
    >>> tie(optax.sgd(0.1), shared).init(shared.params).codes["fc/kernel"].tolist()
    [[0, 0, 1, 1]]
    """

    codes: dict[str, jax.Array]
    inner: Any


def tie(
    rule: optax.GradientTransformation, shared: SharedWeights
) -> optax.GradientTransformationExtraArgs:
    """Train shared values: a value's gradient is the sum of those of its members.

    .. math:: \\partial L / \\partial c_k = \\sum_i [z_i = k] \\, \\partial L / \\partial w_i

    The rule inside sees a codebook where a layer's weights were; what it makes of an entry is added
    to all of its members, which so stay equal bit for bit. The 0 of dropped weights does not move.

    Args:
        rule: the optimizer of codebooks, biases and whatever else is not shared.
        shared: of `share_weights`; training begins at ``shared.params``.

    Returns:
        A transform for ``optax.apply_updates``.

    Raises:
        JaxnetsError: at ``init``, parameters of another network.

    Source: Han, Mao, Dally, 2016, section 3.3, equation 3.

    >>> shared = share_weights({"fc": {"kernel": np.array([[1.0, 2.0, 8.0, 9.0]])}}, 1)
    >>> rule = tie(optax.sgd(0.5), shared)
    >>> gradients = {"fc": {"kernel": jnp.array([[1.0, 3.0, 2.0, 0.0]])}}
    >>> updates, _ = rule.update(gradients, rule.init(shared.params), shared.params)
    >>> updates["fc"]["kernel"].tolist()
    [[-2.0, -2.0, -1.0, -1.0]]
    """
    rule = optax.with_extra_args_support(rule)
    sizes = {path: len(book) for path, book in shared.codebooks.items()}

    def codebooks_of(params, codes):
        flat = flatten_dict(dict(params), sep="/")
        for path, code in codes.items():
            book = jnp.zeros(sizes[path], flat[path].dtype)
            flat[path] = book.at[code.ravel()].set(flat[path].ravel())
        return unflatten_dict(flat, sep="/")

    def init(params):
        flat = flatten_dict(dict(params), sep="/")
        for path, code in shared.codes.items():
            if path not in flat or jnp.shape(flat[path]) != code.shape:
                found = jnp.shape(flat[path]) if path in flat else "nothing"
                raise JaxnetsError(
                    f"tie: the shared weights are of another network: {path} has shape "
                    f"{code.shape} there and {found} here"
                )
        codes = {path: jnp.asarray(code) for path, code in shared.codes.items()}
        return TieState(codes, rule.init(codebooks_of(params, codes)))

    def update(updates, state, params=None, **extra):
        if params is None:
            raise ValueError("tie needs the parameters: call update(gradients, state, params)")
        flat = flatten_dict(dict(updates), sep="/")
        for path, code in state.codes.items():
            total = jax.ops.segment_sum(flat[path].ravel(), code.ravel(), sizes[path])
            flat[path] = total.at[0].set(0) if shared.has_zero[path] else total
        books = codebooks_of(params, state.codes)
        updates, inner = rule.update(unflatten_dict(flat, sep="/"), state.inner, books, **extra)
        flat = flatten_dict(updates, sep="/")
        for path, code in state.codes.items():
            moved = flat[path].at[0].set(0) if shared.has_zero[path] else flat[path]
            flat[path] = moved[code]
        return unflatten_dict(flat, sep="/"), TieState(state.codes, inner)

    return optax.GradientTransformationExtraArgs(init, update)
