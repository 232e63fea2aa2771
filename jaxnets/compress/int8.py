"""Eight bits: weights and activations rounded to 256 steps, after training or while it goes on.

Weights are symmetric, w ≈ s q with q from −127 to 127, one s a tensor or an output channel;
activations are affine, x ≈ s (q − z) with q from 0 to 255, one s and z a layer.

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2018, sections 2 and 3; Krishnamoorthi, "Quantizing deep
convolutional networks for efficient inference: A whitepaper", 2018.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.compress.weights import weight_paths
from jaxnets.errors import JaxnetsError

Granularity = Literal["tensor", "channel"]
Method = Literal["minmax", "percentile", "mse"]
Ranges = Mapping[str, tuple[float, float]]


class Int8(NamedTuple):
    """An array in eight bits.

    Attributes:
        values: int8, −127 … 127.
        scale: s, () or one an output channel.

    >>> Int8(jnp.array([127], jnp.int8), jnp.float32(0.01)).values.dtype
    dtype('int8')
    """

    values: jax.Array
    scale: jax.Array

    def dequantize(self) -> jax.Array:
        """s q, float32."""
        return self.values.astype(jnp.float32) * self.scale


def to_int8(weight: jax.Array, granularity: Granularity = "channel") -> Int8:
    """Round a weight to eight bits: q = round(w / s), s = max |w| / 127.

    Args:
        weight: (…, C_out).
        granularity: one scale for the "tensor", or for each output "channel".

    Returns:
        `Int8`; its error is at most s/2.

    Raises:
        JaxnetsError: an unknown granularity.

    >>> found = to_int8(jnp.array([[1.0, -100.0], [0.5, 50.0]]))
    >>> found.values.tolist()
    [[127, -127], [64, 64]]
    """
    if granularity not in ("tensor", "channel"):
        raise JaxnetsError(f"granularity must be 'tensor' or 'channel', got {granularity!r}")
    weight = jnp.asarray(weight, jnp.float32)
    axes = None if granularity == "tensor" else tuple(range(weight.ndim - 1))
    largest = jnp.abs(weight).max(axes)
    scale = jnp.where(largest > 0, largest / 127, 1.0)
    return Int8(jnp.clip(jnp.round(weight / scale), -127, 127).astype(jnp.int8), scale)


def quantize_weights(params: Mapping[str, Any], granularity: Granularity = "channel") -> Any:
    """The parameters with every weight rounded to eight bits; gradients pass straight through.

    Args:
        params: nested dict of parameters.
        granularity: see `to_int8`.

    Returns:
        A tree like ``params``, float32.

    >>> params = {"fc": {"kernel": jnp.array([[1.0], [0.5]])}}
    >>> quantize_weights(params)["fc"]["kernel"].round(3).ravel().tolist()
    [1.0, 0.504...]
    """
    flat = flatten_dict(dict(params), sep="/")
    for path in weight_paths(params):
        rounded = to_int8(jax.lax.stop_gradient(flat[path]), granularity).dequantize()
        flat[path] = flat[path] + jax.lax.stop_gradient(rounded - flat[path])
    return unflatten_dict(flat, sep="/")


def scale_and_zero(low: float, high: float) -> tuple[float, int]:
    """s and z of a range that holds 0: s = (high − low) / 255, z = round(−low / s).

    Args:
        low: least value.
        high: greatest value.

    Returns:
        (s, z); 0 is exact.

    >>> scale_and_zero(-0.5, 127.0)
    (0.5, 1)
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, int(np.clip(np.rint(-low / scale), 0, 255))


def quantize_activations(x: jax.Array, low: float, high: float) -> jax.Array:
    """Round to 256 steps of a range; the gradient passes where x is inside.

    Args:
        x: any shape.
        low: least value.
        high: greatest value.

    Returns:
        s (q − z) with q = clip(round(x / s) + z, 0, 255).

    >>> quantize_activations(jnp.array([0.2, 0.3, 999.0]), 0.0, 127.5).tolist()
    [0.0, 0.5, 127.5]
    """
    x = jnp.asarray(x)
    scale, zero = scale_and_zero(low, high)
    inside = jnp.clip(x, -zero * scale, (255 - zero) * scale)
    rounded = (jnp.clip(jnp.round(x / scale) + zero, 0, 255) - zero) * scale
    return (inside + jax.lax.stop_gradient(rounded - inside)).astype(x.dtype)


def calibrate(
    apply_fn: Callable,
    variables: Mapping[str, Any],
    batches: Iterable[jax.Array],
    *,
    method: Method = "minmax",
    percentile: float = 99.9,
) -> dict[str, tuple[float, float]]:
    """The range of each layer's inputs on some examples.

    Args:
        apply_fn: a network's ``apply``.
        variables: of the trained network.
        batches: inputs of the network.
        method: "minmax"; "percentile" of the values at both ends, so that single ones do not cost
            steps; "mse": the share of the range whose rounding errs least.
        percentile: of that method.

    Returns:
        Path of a layer with a kernel → (low, high).

    Raises:
        JaxnetsError: no batches, or an unknown method.

    >>> layer = nn.Dense(1, name="fc")
    >>> variables = {"params": {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}}
    >>> calibrate(nn.Dense(1).apply, variables, [jnp.array([[0.0, 3.0]])])
    {'': (0.0, 3.0)}
    """
    if method not in ("minmax", "percentile", "mse"):
        raise JaxnetsError(f"method must be 'minmax', 'percentile' or 'mse', got {method!r}")
    seen: dict[str, list[np.ndarray]] = {}

    def watch(next_method, args, kwargs, context):
        if _has_kernel(context):
            seen.setdefault("/".join(context.module.path), []).append(np.asarray(args[0]).ravel())
        return next_method(*args, **kwargs)

    with nn.intercept_methods(watch):
        for batch in batches:
            apply_fn(variables, batch)
    if not seen:
        raise JaxnetsError("calibrate: no batches, or no layer with a kernel")
    return {path: _range(np.concatenate(x), method, percentile) for path, x in seen.items()}


def _range(x: np.ndarray, method: Method, percentile: float) -> tuple[float, float]:
    if method == "percentile":
        low, high = np.percentile(x, [100 - percentile, percentile])
        return min(float(low), 0.0), max(float(high), 0.0)
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    if method == "minmax":
        return low, high
    sample = x[:: max(1, len(x) // 20_000)]
    errors = []
    for share in np.linspace(0.2, 1, 41):
        rounded = np.asarray(quantize_activations(jnp.asarray(sample), share * low, share * high))
        errors.append((float(np.square(rounded - sample).sum()), share))
    share = min(errors)[1]
    return share * low, share * high


def quantized_apply(
    apply_fn: Callable, ranges: Ranges, *, granularity: Granularity = "channel"
) -> Callable:
    """An ``apply`` in which weights and layers' inputs are rounded to eight bits.

    For measuring after training, and, as ``wrap_apply`` of `jaxnets.train.fit`, for training with
    the rounding: gradients pass straight through it.

    Args:
        apply_fn: a network's ``apply``.
        ranges: of `calibrate`; a layer that is not in it gets its inputs as they are.
        granularity: see `to_int8`.

    Returns:
        A function with the same arguments.

    Source: Jacob et al., 2018, section 3 (training); Bengio et al., 2013 (straight-through).

    >>> variables = {"params": {"kernel": jnp.array([[1.0], [0.5]]), "bias": jnp.zeros(1)}}
    >>> apply = quantized_apply(nn.Dense(1).apply, {"": (0.0, 2.55)})
    >>> apply(variables, jnp.array([[1.004, 2.0]])).round(3).tolist()
    [[2.00...]]
    """

    def watch(next_method, args, kwargs, context):
        path = "/".join(context.module.path)
        if _has_kernel(context) and path in ranges:
            args = (quantize_activations(args[0], *ranges[path]), *args[1:])
        return next_method(*args, **kwargs)

    def apply(variables, *args, **kwargs):
        params = quantize_weights(variables["params"], granularity)
        with nn.intercept_methods(watch):
            return apply_fn({**variables, "params": params}, *args, **kwargs)

    return apply


def _has_kernel(context: Any) -> bool:
    """Whether the call is of a layer that multiplies by a kernel of its own."""
    if context.method_name != "__call__":
        return False
    return "kernel" in context.module.variables.get("params", {})


def integer_dense(
    x: jax.Array, weight: Int8, bias: jax.Array | None, low: float, high: float
) -> jax.Array:
    """A dense layer in whole numbers: y = s_x s_w Σ (q_x − z) q_w + b, sums in int32.

    What `quantized_apply` says a layer would compute; beside it this is how it is computed.

    Args:
        x: (…, C_in), float32.
        weight: (C_in, C_out) in eight bits.
        bias: (C_out,), or None.
        low: least input.
        high: greatest input.

    Returns:
        (…, C_out), float32.

    Source: Jacob et al., 2018, section 2.2, equation 3.

    >>> weight = to_int8(jnp.array([[1.0], [0.5]]))
    >>> integer_dense(jnp.array([[1.004, 2.0]]), weight, None, 0.0, 2.55).round(3).tolist()
    [[2.00...]]
    """
    scale, zero = scale_and_zero(low, high)
    codes = jnp.clip(jnp.round(x / scale) + zero, 0, 255).astype(jnp.int32) - zero
    products = jax.lax.dot_general(
        codes,
        weight.values.astype(jnp.int32),
        (((codes.ndim - 1,), (0,)), ((), ())),
        preferred_element_type=jnp.int32,
    )
    y = products.astype(jnp.float32) * (scale * weight.scale)
    return y if bias is None else y + bias
