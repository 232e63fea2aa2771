"""`conv`: the one entry to every convolution algorithm."""

from collections.abc import Sequence

import jax
from jax import lax

Padding = int | str | Sequence[int | tuple[int, int]]


def _per_axis(value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    algorithm: str = "auto",
) -> jax.Array:
    """Cross-correlate ``x`` (N, spatial…, C_in) with ``kernel`` (spatial…, C_in/groups, C_out)."""
    rank = kernel.ndim - 2
    if not isinstance(padding, str):
        padding = [(p, p) if isinstance(p, int) else tuple(p) for p in _per_axis(padding, rank)]
    spatial = "DHW"[3 - rank :]
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=_per_axis(strides, rank),
        padding=padding,
        rhs_dilation=_per_axis(dilation, rank),
        dimension_numbers=(f"N{spatial}C", f"{spatial}IO", f"N{spatial}C"),
        feature_group_count=groups,
    )
