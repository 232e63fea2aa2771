"""Discrete Fourier transforms as matrix products, channels last and without a transpose.

An axis of n pixels costs n multiply-adds a value here and about log₂ n in a fast transform, but a
matrix product runs at the machine's full rate, keeps channels fastest, takes and gives only the
pixels that exist (padding and cropping are missing rows), and needs no "good" length.  Up to about
`LIMIT` pixels an axis that is several times faster on CPU than `jnp.fft`.

Layout: spectra are real arrays (G₁, F₂, …, 2, rest): the first axis keeps half of its frequencies
(the input is real), 2 is the real and the imaginary part, and rest is whatever stood behind the
spatial axes.
"""

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
    stacked = lax.broadcast(lax.full_like(x, 0, shape=()) + matrix, (batch,))
    return lax.dot_general(stacked, x, (((2,), (1,)), ((0,), (0,))))


def spectrum(x, lengths: tuple[int, ...], positions: list[np.ndarray]):
    """Transform the leading axes of ``x`` (pixels…, rest) to (G₁, F₂, …, 2, rest).

    Args:
        x: real, one leading axis per entry of ``lengths``.
        lengths: period of each axis.
        positions: where on the circle each axis' pixels stand (any integers).
    """
    rest = x.shape[len(lengths) :]
    y, done = _product(_first(lengths[0], positions[0]), x, 1), lengths[0] // 2 + 1
    for length, position in zip(lengths[1:], positions[1:], strict=True):
        y = _product(_next(length, position), y, done)
        done *= length
    return y.reshape(done, 2, *rest)


def pixels(spectrum, lengths: tuple[int, ...], positions: list[np.ndarray]):
    """The inverse at ``positions`` only: (G₁·F₂·…, 2, rest) to (pixels…, rest)."""
    rest = spectrum.shape[2:]
    done = spectrum.shape[0]
    y = spectrum
    for length, position in reversed(list(zip(lengths[1:], positions[1:], strict=True))):
        done //= length
        y = _product(_next_back(length, position), y, done)
    y = _product(_last_back(lengths[0], positions[0]), y, 1)
    return y.reshape(*(len(p) for p in positions), *rest)
