"""`fft`: convolution as a product of spectra (notes L143, L153-155).

A network's "convolution" is a cross-correlation, so the kernel is flipped, and a product of spectra
is a *circular* convolution, so both are padded until what wraps round meets only what is thrown
away; the notes leave both out.  Real transforms halve the work.  Cost grows with the padded
picture, not with the window: this is for large kernels.
"""

import math

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import window
from jaxnets.ops.convolution.problem import Problem, make_problem


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    if not problem.unit_stride:
        return f"strides are {problem.strides}, not 1"
    return None


def good_size(n: int) -> int:
    """The least even length ≥ ``n`` whose prime factors are 2, 3 and 5: fast to transform.

    >>> [good_size(n) for n in (7, 94, 101)]
    [8, 96, 108]
    """
    while True:
        rest = n
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1 and n % 2 == 0:
            return n
        n += 1


def _spectrum(x: jax.Array, sizes, axes) -> jax.Array:
    """Real transform over ``axes``, padded with zeros to ``sizes``, moved to the front."""
    wide = x.astype(window.accumulator(x.dtype))
    last = len(axes)
    moved = jnp.moveaxis(wide, axes, range(x.ndim - last, x.ndim))  # transforms run on last axes
    return jnp.fft.rfftn(moved, s=sizes, axes=range(x.ndim - last, x.ndim))


def _dilate(kernel: jax.Array, problem: Problem) -> jax.Array:
    if problem.unit_dilation:
        return kernel
    config = [(0, 0, d - 1) for d in problem.dilation]
    return jax.lax.pad(kernel, jnp.zeros((), kernel.dtype), [*config, (0, 0, 0), (0, 0, 0)])


def _picture_axes(problem: Problem) -> tuple[int, ...]:
    return tuple(range(1, problem.rank + 1))


def _sizes(problem: Problem) -> tuple[int, ...]:
    # Wrap-around may spoil only what is thrown away: the padded input's length is enough.
    return tuple(good_size(p) for p in problem.padded)


def _kernel_spectrum(kernel: jax.Array, problem: Problem, sizes) -> jax.Array:
    """(C/G, D, frequencies…)."""
    return _spectrum(_dilate(kernel, problem), sizes, tuple(range(problem.rank)))


def _frequencies_last(letters: str, problem: Problem) -> str:
    return letters + "uvw"[: problem.rank]


def _einsum(left: str, right: str, out: str, problem: Problem, a, b) -> jax.Array:
    spec = [_frequencies_last(letters, problem) for letters in (left, right, out)]
    return jnp.einsum(f"{spec[0]},{spec[1]}->{spec[2]}", a, b)


def _back(y: jax.Array, sizes, keep, axes) -> jax.Array:
    rank = len(sizes)
    y = jnp.fft.irfftn(y, s=sizes, axes=range(y.ndim - rank, y.ndim))
    y = y[(..., *(slice(k) for k in keep))]
    return jnp.moveaxis(y, range(y.ndim - rank, y.ndim), axes)


def _split(x: jax.Array, axis: int, groups: int) -> jax.Array:
    return x.reshape(*x.shape[:axis], groups, x.shape[axis] // groups, *x.shape[axis + 1 :])


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """y = F⁻¹[F(x) · conj F(kernel)]: the conjugate turns convolution into correlation."""
    sizes = _sizes(problem)
    xs = _spectrum(window.pad(x, problem.padding), sizes, _picture_axes(problem))
    ks = jnp.conj(_kernel_spectrum(kernel, problem, sizes))
    xs, ks = _split(xs, 1, problem.groups), _split(ks, 1, problem.groups)
    ys = _einsum("ngc", "cgd", "ngd", problem, xs, ks)
    ys = ys.reshape(problem.batch, problem.out_channels, *ys.shape[3:])
    return _back(ys, sizes, problem.out_spatial, _picture_axes(problem)).astype(x.dtype)


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x's gradient: F⁻¹[F(g) · F(kernel)], a true convolution."""
    sizes = _sizes(problem)
    gs = _spectrum(g, sizes, _picture_axes(problem))
    ks = _kernel_spectrum(kernel, problem, sizes)
    gs, ks = _split(gs, 1, problem.groups), _split(ks, 1, problem.groups)
    xs = _einsum("ngd", "cgd", "ngc", problem, gs, ks)
    xs = xs.reshape(problem.batch, problem.in_channels, *xs.shape[3:])
    padded = _back(xs, sizes, problem.padded, _picture_axes(problem))
    return window.pad(padded, [(-a, -b) for a, b in problem.padding]).astype(g.dtype)


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The kernel's gradient: the correlation of x with g, at the window's taps."""
    sizes = _sizes(problem)
    xs = _spectrum(window.pad(x, problem.padding), sizes, _picture_axes(problem))
    gs = jnp.conj(_spectrum(g, sizes, _picture_axes(problem)))
    xs, gs = _split(xs, 1, problem.groups), _split(gs, 1, problem.groups)
    ks = _einsum("ngc", "ngd", "cgd", problem, xs, gs)
    ks = ks.reshape(ks.shape[0], problem.out_channels, *ks.shape[3:])
    dk = _back(ks, sizes, problem.extent, tuple(range(problem.rank)))
    return dk[tuple(slice(None, None, d) for d in problem.dilation)].astype(x.dtype)


def circular_conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlate round a torus, y[i] = Σₖ x[(i + k) mod size]·kernel[k]: spectra without padding.

    Args:
        x: (N, spatial…, C_in), every spatial axis at least as long as the window.
        kernel: (window…, C_in, C_out).

    Returns:
        (N, spatial…, C_out).

    >>> x = jnp.arange(4.0).reshape(1, 4, 1)
    >>> circular_conv(x, jnp.ones((2, 1, 1))).ravel()
    Array([1., 3., 5., 3.], dtype=float32)
    """
    problem = make_problem(x, kernel)
    sizes, axes = problem.spatial, _picture_axes(problem)
    xs = _spectrum(x, sizes, axes)
    ks = jnp.conj(_kernel_spectrum(kernel, problem, sizes))
    ys = _einsum("nc", "cd", "nd", problem, xs, ks)
    return _back(ys, sizes, sizes, axes).astype(x.dtype)


def multiplications(problem: Problem) -> int:
    """Real multiplications of the product of spectra, three a complex one (transforms left out)."""
    sizes = _sizes(problem)
    frequencies = math.prod(sizes[:-1]) * (sizes[-1] // 2 + 1)
    dense = problem.in_channels * problem.out_channels // problem.groups
    return 3 * frequencies * problem.batch * dense
