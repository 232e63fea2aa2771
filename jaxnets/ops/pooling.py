"""Pooling over windows: maximum, average, whole image, and to a given size."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Padding = int | str | Sequence[int | tuple[int, int]]


def _per_axis(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(int(v) < 1 for v in values):
        raise ValueError(
            f"{name}: got {value!r}; expected a positive int, or one for each of the {rank} "
            "spatial axes of x (batch, spatial…, channels)"
        )
    return tuple(int(v) for v in values)


class _Windows:
    """Where the windows lie: static facts, worked out while tracing."""

    def __init__(self, x, window, strides, padding, ceil_mode):
        if x.ndim < 3:
            raise ValueError(
                f"x: got shape {x.shape}; expected (batch, spatial…, channels): at least 3 axes"
            )
        rank, sizes = x.ndim - 2, x.shape[1:-1]
        self.window = _per_axis("window", window, rank)
        self.strides = self.window if strides is None else _per_axis("strides", strides, rank)
        self.padding = self._pairs(padding, sizes, rank)
        # Cells beyond the padding, over which the last window hangs in ceil mode.
        self.overhang = [0] * rank
        self.out = []
        for i, (n, k, s, (lo, hi)) in enumerate(
            zip(sizes, self.window, self.strides, self.padding, strict=True)
        ):
            if lo >= k or hi >= k:
                raise ValueError(
                    f"padding: ({lo}, {hi}) on spatial axis {i} is not less than the window of "
                    f"{k}; a window would hold nothing but padding"
                )
            room = n + lo + hi - k
            if room < 0:
                raise ValueError(
                    f"window: {k} on spatial axis {i} is larger than the input of {n} with padding "
                    f"({lo}, {hi})"
                )
            out = room // s + 1
            if ceil_mode and room % s and out * s < n + lo:
                self.overhang[i] = s - room % s
                out += 1
            self.out.append(out)

    def _pairs(self, padding, sizes, rank):
        if isinstance(padding, str):
            if padding.upper() not in ("SAME", "VALID"):
                raise ValueError(
                    f"padding: got {padding!r}; expected an int, one int or one (low, high) pair "
                    'for each spatial axis, "SAME" or "VALID"'
                )
            return lax.padtype_to_pads(sizes, self.window, self.strides, padding.upper())
        per_axis = (padding,) * rank if isinstance(padding, int) else tuple(padding)
        pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in per_axis]
        if len(pairs) != rank or any(len(p) != 2 or min(p) < 0 for p in pairs):
            raise ValueError(
                f"padding: got {padding!r}; expected an int of at least 0, or one int or "
                f"(low, high) pair for each of the {rank} spatial axes of x"
            )
        return pairs

    def reduce(self, x, start, operation):
        pads = [(lo, hi + over) for (lo, hi), over in zip(self.padding, self.overhang, strict=True)]
        return lax.reduce_window(
            x,
            # A NumPy scalar: a traced value would hide from JAX that this is max or add, which
            # it can differentiate.
            np.asarray(start, x.dtype),
            operation,
            (1, *self.window, 1),
            (1, *self.strides, 1),
            ((0, 0), *pads, (0, 0)),
        )

    def counts(self, sizes, include_pad: bool) -> np.ndarray:
        """Cells in each window, shaped (1, out…, 1); cells of the overhang never count."""
        total = np.ones((1,) * (len(sizes) + 2))
        for axis, (n, k, s, (lo, hi), out) in enumerate(
            zip(sizes, self.window, self.strides, self.padding, self.out, strict=True), start=1
        ):
            start = np.arange(out) * s - lo
            stop = np.minimum(start + k, n + hi if include_pad else n)
            cells = stop - (start if include_pad else np.maximum(start, 0))
            total = total * cells.reshape([-1 if a == axis else 1 for a in range(total.ndim)])
        return total


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
) -> jax.Array:
    """Largest value in each window of each channel.

    Windows larger than the stride overlap, as AlexNet's 3 with stride 2 do (notes L201 say the
    opposite). Padding never wins: it counts as −∞.

    Args:
        x: (N, spatial…, C), any number of spatial axes.
        window: size of the window, an int or one for each spatial axis.
        strides: likewise; None: the window, so that nothing overlaps.
        padding: an int, one int or one (low, high) pair for each spatial axis, "SAME" or "VALID".
        ceil_mode: round the output size up, as Caffe and PyTorch's ``ceil_mode=True`` do: one more
            window where it still begins inside the (low-padded) input.

    Returns:
        (N, out…, C) with out = ⌊(n + low + high − window) / stride⌋ + 1.

    Raises:
        ValueError: arguments that do not fit ``x``, or padding not less than the window.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(5.0).reshape(1, 5, 1)
    >>> max_pool(x, 2).ravel().tolist(), max_pool(x, 2, ceil_mode=True).ravel().tolist()
    ([1.0, 3.0], [1.0, 3.0, 4.0])
    """
    windows = _Windows(x, window, strides, padding, ceil_mode)
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
    return windows.reduce(x, lowest, lax.max)


def avg_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Mean of each window of each channel.

    Args:
        x: (N, spatial…, C), any number of spatial axes.
        window, strides, padding, ceil_mode: see `max_pool`.
        count_include_pad: padding counts as zeros (Caffe, PyTorch); False: it does not count. Cells
            beyond the padding, where the last window hangs over in ``ceil_mode``, never count.

    Returns:
        (N, out…, C). Sums are formed in float32 or wider.

    Raises:
        ValueError: arguments that do not fit ``x``, or padding not less than the window.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([2.0, 4.0]).reshape(1, 2, 1)
    >>> avg_pool(x, 2, padding=1).ravel().tolist()
    [1.0, 2.0]
    >>> avg_pool(x, 2, padding=1, count_include_pad=False).ravel().tolist()
    [2.0, 4.0]
    """
    windows = _Windows(x, window, strides, padding, ceil_mode)
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    total = windows.reduce(wide, 0, lax.add)
    counts = windows.counts(x.shape[1:-1], count_include_pad)
    if counts.min() == counts.max():
        mean = total / counts.flat[0].item()
    else:
        mean = total / jnp.asarray(counts, wide.dtype)
    return mean.astype(jnp.result_type(x.dtype, 0.0))


def global_avg_pool(x: jax.Array, *, keepdims: bool = False) -> jax.Array:
    """Mean over all spatial axes: (N, spatial…, C) to (N, C).

    Args:
        x: (N, spatial…, C).
        keepdims: keep the spatial axes, with length 1.

    Source: Lin, Chen & Yan 2013 (Network in Network), §3.2.

    >>> import jax.numpy as jnp
    >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[1.5]], dtype=float32)
    """
    if x.ndim < 3:
        raise ValueError(
            f"x: got shape {x.shape}; expected (batch, spatial…, channels): at least 3 axes"
        )
    return x.mean(tuple(range(1, x.ndim - 1)), keepdims=keepdims)
