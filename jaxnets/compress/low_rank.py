"""Kernels as products of two thin ones, and networks that compute with the thin ones."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

from jaxnets.compress.weights import per_layer
from jaxnets.errors import JaxnetsError
from jaxnets.ops import conv


class Factors(NamedTuple):
    """A kernel as two.

    Attributes:
        first: (…, C_in, r): of the same spatial size.
        second: (r, C_out): a dense layer, or a 1×1 convolution.

    >>> Factors(np.ones((3, 3, 4, 2)), np.ones((2, 8))).parameters
    88
    """

    first: np.ndarray
    second: np.ndarray

    @property
    def parameters(self) -> int:
        """Of both."""
        return int(np.size(self.first) + np.size(self.second))

    @property
    def product(self) -> np.ndarray:
        """The kernel that they stand for."""
        return self.first @ self.second


def factorize(
    kernel: np.ndarray, *, rank: int | None = None, energy: float | None = None
) -> Factors:
    """The best product of rank r, by the singular value decomposition.

    .. math:: \\min_{\\mathrm{rank}\\, r} \\| W - A B \\|_F^2 = \\sum_{i > r} \\sigma_i^2

    A convolution's kernel is the matrix (height · width · C_in) × C_out: r filters of the same size
    and a 1×1 convolution.

    Args:
        kernel: (C_in, C_out) or (…, C_in, C_out).
        rank: r.
        energy: or the least r that keeps this share of Σ σ².

    Returns:
        `Factors`.

    Raises:
        JaxnetsError: both or neither of rank and energy, or one out of range.

    Source: Eckart, Young, 1936; Denton et al., "Exploiting Linear Structure Within Convolutional
    Networks for Efficient Evaluation", 2014; Zhang et al., 2015 (filters and a 1×1 convolution).

    >>> found = factorize(np.outer([1.0, 2.0], [3.0, 4.0, 5.0]), rank=1)
    >>> found.product.round(6).tolist()
    [[3.0, 4.0, 5.0], [6.0, 8.0, 10.0]]
    """
    kernel = np.asarray(kernel)
    matrix = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    if (rank is None) == (energy is None):
        raise JaxnetsError("factorize takes a rank or an energy, one of the two")
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    if energy is not None:
        if not 0 < energy <= 1:
            raise JaxnetsError(f"energy is a share in (0, 1], got {energy}")
        shares = np.cumsum(values**2) / max((values**2).sum(), np.finfo(float).tiny)
        rank = int(np.searchsorted(shares, energy - 1e-12)) + 1
    if not 1 <= rank <= len(values):
        raise JaxnetsError(
            f"rank must be from 1 to {len(values)} for shape {kernel.shape}, got {rank}"
        )
    root = np.sqrt(values[:rank])
    first = (left[:, :rank] * root).reshape(*kernel.shape[:-1], rank)
    return Factors(first.astype(kernel.dtype), (root[:, None] * right[:rank]).astype(kernel.dtype))


def factorize_network(
    params: Mapping[str, Any], energy: float | Mapping[str, float]
) -> dict[str, Factors]:
    """Factors of those weights for which they are fewer numbers than the kernel.

    Args:
        params: nested dict of parameters.
        energy: see `factorize`, for all layers or for single ones.

    Returns:
        Path of a layer → `Factors`.

    >>> rank_one = np.outer(np.arange(9.0), np.arange(9.0))
    >>> list(factorize_network({"fc": {"kernel": rank_one}}, 0.99))
    ['fc']
    """
    flat, found = flatten_dict(dict(params), sep="/"), {}
    for path, share in per_layer(params, energy, "energy", math.nan).items():
        if not math.isnan(share):
            factors = factorize(flat[path], energy=share)
            if factors.parameters < np.size(flat[path]):
                found[path.rsplit("/", 1)[0]] = factors
    return found


def low_rank_apply(apply_fn: Callable, factors: Mapping[str, Factors]) -> Callable:
    """An ``apply`` that computes factorized layers by their two thin kernels.

    Args:
        apply_fn: the ``apply`` of a network of dense layers and convolutions, Flax's or
            `jaxnets.nn`'s, without groups where they are factorized.
        factors: of `factorize_network`.

    Returns:
        A function with the same arguments.

    Raises:
        JaxnetsError: when it is called: a factorized layer with groups.

    >>> kernel = jnp.outer(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]))
    >>> variables = {"params": {"kernel": kernel, "bias": jnp.zeros(2)}}
    >>> apply = low_rank_apply(nn.Dense(2).apply, {"": factorize(kernel, rank=1)})
    >>> apply(variables, jnp.ones((1, 2))).round(4).tolist()
    [[9.0, 12.0]]
    """

    def thin(next_method, args, kwargs, context):
        module = context.module
        path = "/".join(module.path)
        if context.method_name != "__call__" or path not in factors:
            return next_method(*args, **kwargs)
        first, second = (jnp.asarray(factor) for factor in factors[path])
        x = args[0]
        if first.ndim == 2:
            y = x @ first
        else:
            y = _convolve(module, x, first, path)
        y = y @ second
        bias = module.variables["params"].get("bias")
        return y if bias is None else y + bias

    def apply(variables, *args, **kwargs):
        with nn.intercept_methods(thin):
            return apply_fn(variables, *args, **kwargs)

    return apply


def _convolve(module: Any, x: jax.Array, kernel: jax.Array, path: str) -> jax.Array:
    groups = getattr(module, "groups", getattr(module, "feature_group_count", 1))
    if groups != 1:
        raise JaxnetsError(f"low_rank_apply: {path} has {groups} groups; expected 1")
    dilation = getattr(module, "dilation", getattr(module, "kernel_dilation", 1))
    strides = 1 if module.strides is None else module.strides
    return conv(x, kernel, strides=strides, padding=module.padding, dilation=dilation or 1)
