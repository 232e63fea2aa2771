"""`fft`: convolution as a product of spectra.

A network's "convolution" is a cross-correlation, so the kernel's spectrum is conjugated (which
flips it), and a product of spectra is a *circular* convolution, so the circle is made long enough
that what wraps around meets only zeros. Real input halves the work. The cost grows with the image,
not with the window: this is for large kernels.

Source: Mathieu, Henaff & LeCun 2013 (Fast Training of Convolutional Networks through FFTs).
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import dft, window
from jaxnets.ops.convolution.problem import Problem, make_problem


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    if not problem.unit_stride:
        return f"strides are {problem.strides}, not 1"
    return None


@dataclasses.dataclass(frozen=True)
class _Circle:
    """Period of every axis, and where x, y and the kernel's taps stand on it."""

    lengths: tuple[int, ...]
    x: list[np.ndarray]
    y: list[np.ndarray]
    kernel: list[np.ndarray]


def _circle(problem: Problem, circular: bool = False) -> _Circle:
    # Zero padding on either side is one gap between x's end and its beginning one period later.
    lengths = tuple(
        size if circular else max(size + max(pair), extent, out)
        for size, pair, extent, out in zip(
            problem.spatial, problem.padding, problem.extent, problem.out_spatial, strict=True
        )
    )
    out = problem.spatial if circular else problem.out_spatial
    return _Circle(
        lengths,
        [np.arange(size) for size in problem.spatial],
        [np.arange(o) - before for o, (before, _) in zip(out, problem.padding, strict=True)],
        [np.arange(k) * d for k, d in zip(problem.window, problem.dilation, strict=True)],
    )


def _spectrum(x: jax.Array, circle: _Circle, positions) -> jax.Array:
    return dft.spectrum(x.astype(window.accumulator(x.dtype)), circle.lengths, positions)


def _images(x: jax.Array, circle: _Circle, positions, groups: int) -> jax.Array:
    """Spectra of images: (N, spatial…, C) to (frequencies, 2, N, G, C/G)."""
    x = jnp.moveaxis(x, 0, -2)
    return _spectrum(x.reshape(*x.shape[:-1], groups, -1), circle, positions)


def _kernels(kernel: jax.Array, circle: _Circle, groups: int, transposed: bool) -> jax.Array:
    """Spectra of kernels: (frequencies, 2, G, C/G, D/G), or with D/G before C/G."""
    kernel = kernel.reshape(*kernel.shape[:-1], groups, -1)
    kernel = jnp.moveaxis(kernel, -3, -1 if transposed else -2)
    return _spectrum(kernel, circle, circle.kernel)


def _back(y: jax.Array, circle: _Circle, positions, dtype) -> jax.Array:
    """(frequencies, 2, N, G, C/G) to (N, pixels…, C)."""
    y = dft.pixels(y, circle.lengths, positions)
    return jnp.moveaxis(y.reshape(*y.shape[:-2], -1), -2, 0).astype(dtype)


def _complex(part: Callable[[int, int], jax.Array], conjugate: bool) -> jax.Array:
    """a·b, or a·conj(b), from the products part(i, j) of a's part i and b's part j (0 is real)."""
    if conjugate:
        return jnp.stack([part(0, 0) + part(1, 1), part(1, 0) - part(0, 1)], 1)
    return jnp.stack([part(0, 0) - part(1, 1), part(1, 0) + part(0, 1)], 1)


# In the three functions f are frequencies, a and b the real and imaginary parts of the two factors,
# n images, g groups, c and d a group's input and output channels. All parts are multiplied with
# all parts in one product a frequency: small matrix products are slow one by one.


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """y = F⁻¹[F(x) · conj F(kernel)]: the conjugate turns convolution into correlation."""
    return _forward(x, kernel, problem, _circle(problem))


def _forward(x: jax.Array, kernel: jax.Array, problem: Problem, circle: _Circle) -> jax.Array:
    xs = _images(x, circle, circle.x, problem.groups)
    ks = _kernels(kernel, circle, problem.groups, transposed=True)
    if problem.depthwise:
        ys = _complex(lambda i, j: xs[:, i] * ks[:, j, None, :, :, 0], conjugate=True)
    else:
        q = jnp.einsum("fangc,fbgdc->fganbd", xs, ks)
        ys = _complex(lambda i, j: q[:, :, i, :, j].swapaxes(1, 2), conjugate=True)
    return _back(ys, circle, circle.y, x.dtype)


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x's gradient: F⁻¹[F(g) · F(kernel)], a true convolution."""
    circle = _circle(problem)
    gs = _images(g, circle, circle.y, problem.groups)
    ks = _kernels(kernel, circle, problem.groups, transposed=False)
    if problem.depthwise:
        xs = _complex(
            lambda i, j: (gs[:, i] * ks[:, j, None, :, 0]).sum(-1, keepdims=True), conjugate=False
        )
    else:
        q = jnp.einsum("fangd,fbgcd->fganbc", gs, ks)
        xs = _complex(lambda i, j: q[:, :, i, :, j].swapaxes(1, 2), conjugate=False)
    return _back(xs, circle, circle.x, g.dtype)


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The kernel's gradient: the correlation of x with g, at the window's taps."""
    circle = _circle(problem)
    xs = _images(x, circle, circle.x, problem.groups)
    gs = _images(g, circle, circle.y, problem.groups)
    if problem.depthwise:
        ks = _complex(lambda i, j: (xs[:, i] * gs[:, j]).sum(1)[:, :, None], conjugate=True)
    else:
        q = jnp.einsum("fangc,fbngd->fgacbd", xs, gs)
        ks = _complex(lambda i, j: q[:, :, i, :, j], conjugate=True)
    dk = dft.pixels(ks, circle.lengths, circle.kernel)  # (window…, G, C/G, D/G)
    return jnp.moveaxis(dk, -3, -2).reshape(problem.kernel_shape).astype(x.dtype)


def circular_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlate with periodic boundaries: y[i] = Σₖ x[(i + k) mod size]·kernel[k].

    Products of spectra are periodic by themselves, so this one needs no padding.

    Args:
        x: (N, spatial…, C_in), every spatial axis at least as long as the window.
        kernel: (window…, C_in, C_out).

    Returns:
        (N, spatial…, C_out).

    Raises:
        ValueError: shapes that do not fit.

    >>> x = jnp.arange(4.0).reshape(1, 4, 1)
    >>> circular_conv(x, jnp.ones((2, 1, 1))).ravel().round(4)
    Array([1., 3., 5., 3.], dtype=float32)
    """
    problem = make_problem(x, kernel)
    return _forward(x, kernel, problem, _circle(problem, circular=True))
