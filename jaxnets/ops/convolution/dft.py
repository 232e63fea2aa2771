"""Discrete Fourier transforms as matrix products, channels last and without a transpose.

An axis of n pixels costs n multiply-adds a value here and about log₂ n in a fast transform, but a
matrix product runs at the machine's full rate, keeps channels fastest, takes and gives only the
pixels that exist (padding and cropping are missing rows), and needs no "good" length. Up to about
`LIMIT` pixels an axis that is several times faster on CPU than `jnp.fft`.

Layout: spectra are real arrays (frequencies, 2, rest): all axes' frequencies in a row, of the first
axis only the half that a real input needs; 2 is the real and the imaginary part; rest is whatever
followed the spatial axes.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

LIMIT = 256  # pixels of the longest axis up to which matrices are used


def _angles(length: int, frequencies: int, positions: np.ndarray) -> np.ndarray:
    # The product is reduced first: float64 angles stay exact however large it is.
    return 2 * np.pi / length * (np.outer(np.arange(frequencies), positions) % length)


def _first(length: int, positions: np.ndarray) -> np.ndarray:
    """Real pixels to half a spectrum: rows (G, 2), columns pixels."""
    angles = _angles(length, length // 2 + 1, positions)
    return np.stack([np.cos(angles), -np.sin(angles)], 1).reshape(-1, len(positions))


def _next(length: int, positions: np.ndarray) -> np.ndarray:
    """Complex to complex: rows (F, 2), columns (2, pixels)."""
    angles = _angles(length, length, positions)
    c, s = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([c, s], 1), np.stack([-s, c], 1)], 1).reshape(2 * length, -1)


def _last_back(length: int, positions: np.ndarray) -> np.ndarray:
    """Inverse of `_first`: rows pixels, columns (G, 2); the missing half counts by symmetry."""
    half = length // 2 + 1
    angles = _angles(length, half, positions)
    weight = np.where((np.arange(half) * 2) % length == 0, 1.0, 2.0)[:, None] / length
    return np.stack([weight * np.cos(angles), -weight * np.sin(angles)], 1).reshape(2 * half, -1).T


def _next_back(length: int, positions: np.ndarray) -> np.ndarray:
    """Inverse of `_next`: rows (2, pixels), columns (F, 2)."""
    return _next(length, positions).T / length


def _product(matrix: np.ndarray, x, batch: int):
    """matrix (R, K) times x (batch, K, rest) to (batch, R, rest)."""
    matrix = np.asarray(matrix, x.dtype)
    x = x.reshape(batch, matrix.shape[1], -1)
    if batch == 1:
        return lax.dot_general(matrix, x[0], (((1,), (0,)), ((), ())))[None]
    stacked = lax.broadcast(jnp.asarray(matrix), (batch,))
    return lax.dot_general(stacked, x, (((2,), (1,)), ((0,), (0,))))


def _fast_spectrum(x, lengths, positions):
    """`spectrum` by `jnp.fft`, for long axes."""
    axes = range(len(lengths))
    for axis, (length, position) in enumerate(zip(lengths, positions, strict=True)):
        step = int(position[1] - position[0]) if len(position) > 1 else 1
        config = [(0, 0, 0)] * x.ndim
        config[axis] = (0, length - (len(position) - 1) * step - 1, step - 1)
        x = jnp.roll(lax.pad(x, jnp.zeros((), x.dtype), config), int(position[0]), axis)
    y = jnp.moveaxis(x, axes, range(-len(lengths), 0))  # fast transforms run over the last axes
    y = jnp.fft.rfftn(y, axes=(*range(-len(lengths) + 1, 0), -len(lengths)))
    y = jnp.moveaxis(y, range(-len(lengths), 0), axes)
    y = jnp.stack([y.real, y.imag], len(lengths))
    return y.reshape(-1, *y.shape[len(lengths) :])


def _fast_pixels(spectrum, lengths, positions):
    """`pixels` by `jnp.fft`, for long axes."""
    axes = range(len(lengths))
    y = lax.complex(spectrum[:, 0], spectrum[:, 1])
    y = y.reshape(lengths[0] // 2 + 1, *lengths[1:], *y.shape[1:])
    y = jnp.moveaxis(y, axes, range(-len(lengths), 0))
    order = (*range(-len(lengths) + 1, 0), -len(lengths))
    y = jnp.fft.irfftn(y, s=(*lengths[1:], lengths[0]), axes=order)
    y = jnp.moveaxis(y, range(-len(lengths), 0), axes)
    for axis, position in enumerate(positions):
        y = jnp.roll(y, -int(position[0]), axis)
        step = int(position[1] - position[0]) if len(position) > 1 else 1
        y = lax.slice_in_dim(y, 0, (len(position) - 1) * step + 1, step, axis)
    return y


def spectrum(x: jax.Array, lengths: Sequence[int], positions: Sequence[np.ndarray]) -> jax.Array:
    """Transform the leading axes of ``x`` (pixels…, rest) to (frequencies, 2, rest).

    Args:
        x: real, one leading axis per entry of ``lengths``.
        lengths: period of each axis.
        positions: of each axis's pixels within the period: evenly spaced integers.

    Returns:
        real spectra in the layout above, in the dtype of ``x``.
    """
    if max(lengths) > LIMIT:
        return _fast_spectrum(x, lengths, positions)
    rest = x.shape[len(lengths) :]
    y, done = _product(_first(lengths[0], positions[0]), x, 1), lengths[0] // 2 + 1
    for length, position in zip(lengths[1:], positions[1:], strict=True):
        y = _product(_next(length, position), y, done)
        done *= length
    return y.reshape(done, 2, *rest)


def pixels(y: jax.Array, lengths: Sequence[int], positions: Sequence[np.ndarray]) -> jax.Array:
    """The inverse of `spectrum`, at ``positions`` only: (frequencies, 2, rest) to pixels…, rest."""
    if max(lengths) > LIMIT:
        return _fast_pixels(y, lengths, positions)
    done, rest = y.shape[0], y.shape[2:]
    for length, position in reversed(list(zip(lengths[1:], positions[1:], strict=True))):
        done //= length
        y = _product(_next_back(length, position), y, done)
    y = _product(_last_back(lengths[0], positions[0]), y, 1)
    return y.reshape(*(len(p) for p in positions), *rest)
