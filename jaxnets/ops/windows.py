"""Sliding windows along each axis, computed while tracing."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Padding = int | str | Sequence[int | tuple[int, int]]


@dataclass(frozen=True)
class Span:
    """The windows along one axis.

    Attributes:
        size: length of the input.
        window, stride: of the windows.
        low, high: entries of padding before and behind the input.
        overhang: entries behind the padding that the last window covers as well, in ceil mode.
        out: number of windows.
    """

    size: int
    window: int
    stride: int
    low: int
    high: int
    overhang: int
    out: int

    def taps(self, x: jax.Array, axis: int, fill: float) -> list[jax.Array]:
        """First entries of all windows, second entries, …: ``window`` arrays of length ``out``."""
        behind = self.high + self.overhang
        if self.low or behind:
            pads = [(0, 0, 0)] * x.ndim
            pads[axis] = (self.low, behind, 0)
            x = lax.pad(x, jnp.asarray(fill, x.dtype), pads)
        reach = (self.out - 1) * self.stride + 1
        return [lax.slice_in_dim(x, i, i + reach, self.stride, axis) for i in range(self.window)]


def spans_of(
    shape: tuple[int, ...],
    window: int | Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
    ceil_mode: bool,
) -> tuple[Span, ...]:
    """The windows of a pooling over (N, spatial…, C), one entry for each spatial axis.

    Raises:
        ValueError: an argument that does not fit, by name.

    >>> spans_of((1, 5, 1), 2, None, 0, True)
    (Span(size=5, window=2, stride=2, low=0, high=0, overhang=1, out=3),)
    """
    if len(shape) < 3:
        raise ValueError(
            f"x: got shape {shape}; expected (batch, spatial…, channels), at least 3 axes"
        )
    sizes = shape[1:-1]
    windows = _per_axis("window", window, len(sizes))
    steps = windows if strides is None else _per_axis("strides", strides, len(sizes))
    pairs = _padding_pairs(padding, sizes, windows, steps)
    spans = []
    for i, (n, k, s, (low, high)) in enumerate(zip(sizes, windows, steps, pairs, strict=True)):
        if low >= k or high >= k:
            raise ValueError(
                f"padding: ({low}, {high}) on spatial axis {i} is not less than the window of {k}; "
                "a window would hold nothing but padding"
            )
        room = n + low + high - k
        if room < 0:
            raise ValueError(
                f"window: {k} on spatial axis {i} is larger than the input of {n} with padding "
                f"({low}, {high}); give a larger image or a smaller window"
            )
        out, overhang = room // s + 1, 0
        if ceil_mode and room % s and out * s < n + low:
            out, overhang = out + 1, s - room % s
        spans.append(Span(n, k, s, low, high, overhang, out))
    return tuple(spans)


def window_sums(x: jax.Array, spans: Sequence[Span]) -> jax.Array:
    """Sum of each window, by XLA's reduce_window."""
    return lax.reduce_window(
        x,
        # Concrete, not traced: only then is it known to be a sum, which has a gradient.
        np.zeros((), x.dtype),
        lax.add,
        (1, *(span.window for span in spans), 1),
        (1, *(span.stride for span in spans), 1),
        ((0, 0), *((span.low, span.high + span.overhang) for span in spans), (0, 0)),
    )


def window_counts(spans: Sequence[Span], include_pad: bool) -> np.ndarray:
    """Entries in each window, shaped (1, out…, 1); those of an overhang never count.

    >>> window_counts(spans_of((1, 5, 1), 2, None, 0, True), True).ravel().tolist()
    [2, 2, 1]
    """
    rank = len(spans) + 2
    total = np.ones((1,) * rank, int)
    for axis, span in enumerate(spans, start=1):
        start = np.arange(span.out) * span.stride - span.low
        stop = np.minimum(start + span.window, span.size + (span.high if include_pad else 0))
        count = stop - (start if include_pad else np.maximum(start, 0))
        total = total * count.reshape([-1 if a == axis else 1 for a in range(rank)])
    return total


def _per_axis(name: str, value: int | Sequence[int], rank: int) -> tuple[int, ...]:
    values = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(values) != rank or any(int(v) < 1 for v in values):
        raise ValueError(
            f"{name}: got {value!r}; expected a positive int, or one for each of the {rank} "
            "spatial axes of x (batch, spatial…, channels)"
        )
    return tuple(int(v) for v in values)


def _padding_pairs(padding, sizes, windows, strides) -> list[tuple[int, int]]:
    rank = len(sizes)
    if isinstance(padding, str):
        if padding.upper() not in ("SAME", "VALID"):
            raise ValueError(
                f"padding: got {padding!r}; expected an int, one int or one (low, high) pair for "
                'each spatial axis, "SAME" or "VALID"'
            )
        return lax.padtype_to_pads(sizes, windows, strides, padding.upper())
    per_axis = (padding,) * rank if isinstance(padding, int) else tuple(padding)
    pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in per_axis]
    if len(pairs) != rank or any(len(p) != 2 or min(p) < 0 for p in pairs):
        raise ValueError(
            f"padding: got {padding!r}; expected an int of at least 0, or one int or (low, high) "
            f"pair for each of the {rank} spatial axes of x"
        )
    return pairs
