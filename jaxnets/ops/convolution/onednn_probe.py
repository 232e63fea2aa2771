"""What a child process computes before an untried version of jaxlib is trusted with oneDNN.

`jaxnets.ops.convolution.onednn_support.probe` runs this file as a program. Every field of the
configuration that is ever set differs from its default in one of the cases, and no two axes are of
one length, so that a field with another meaning gives other values, another shape, or a crash: all
of which end here and not in the user's process.
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import onednn_call, onednn_support
from jaxnets.ops.convolution.problem import Problem

CASES = (
    Problem((2, 13, 6), (3, 6, 10), (2,), ((1, 2),), (1,)),
    Problem((2, 9, 11, 6), (3, 4, 6, 10), (2, 1), ((1, 2), (3, 0)), (1, 1)),
    Problem((3, 12, 10, 8), (3, 2, 4, 6), (1, 2), ((2, 1), (0, 2)), (2, 3), groups=2),
    Problem((2, 9, 8, 16), (3, 3, 1, 16), (1, 2), ((1, 1), (0, 1)), (1, 1), groups=16),
    Problem((1, 5, 7, 8, 4), (3, 2, 3, 4, 6), (1, 2, 1), ((1, 0), (0, 1), (2, 1)), (1, 1, 1)),
)
# Largest relative error of a right result, by itemsize: eight bits of bfloat16, rounded once.
ALLOWED = {4: 1e-5, 2: 1e-2}


def definition(x: np.ndarray, kernel: np.ndarray, problem: Problem) -> np.ndarray:
    """The convolution tap by tap, in float64."""
    padded = np.pad(x.astype(np.float64), [(0, 0), *problem.padding, (0, 0)])
    groups, out = problem.groups, problem.out_channels
    y = np.zeros((problem.batch, *problem.out_spatial, groups, out // groups))
    for tap in itertools.product(*(range(k) for k in problem.window)):
        steps = zip(tap, problem.dilation, problem.out_spatial, problem.strides, strict=True)
        places = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in steps)
        seen = padded[(slice(None), *places)]
        seen = seen.reshape(*seen.shape[:-1], groups, -1)
        weights = kernel[tap].astype(np.float64).reshape(-1, groups, out // groups)
        y += np.einsum("...gc,cgd->...gd", seen, weights)
    return y.reshape(problem.out_shape)


def _error(got, want: np.ndarray) -> float:
    return float(np.abs(np.asarray(got, np.float64) - want).max() / np.abs(want).max())


def errors(dtype) -> dict[str, float]:
    """Relative errors of every case, with and without what is fused, and of the products."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.standard_normal(shape), dtype)

    found = {}
    for i, problem in enumerate(CASES):
        x, kernel = normal(*problem.x_shape), normal(*problem.kernel_shape)
        bias, addend = normal(problem.out_channels), normal(*problem.out_shape)
        want = definition(np.asarray(x), np.asarray(kernel), problem)
        plain = jax.jit(lambda x, k, p=problem: onednn_call.convolution(x, k, p))
        found[f"convolution {i}"] = _error(plain(x, kernel), want)
        fused = jax.jit(
            lambda x, k, b, a, p=problem: onednn_call.convolution(
                x, k, p, bias=b, addend=a, activation="RELU"
            )
        )
        total = want + np.asarray(bias, np.float64) + np.asarray(addend, np.float64)
        found[f"fused {i}"] = _error(fused(x, kernel, bias, addend), np.maximum(total, 0))
    a, b, c = normal(33, 7), normal(33, 5), normal(9, 7)
    left, right, third = (np.asarray(m, np.float64) for m in (a, b, c))
    found["aᵀb"] = _error(jax.jit(onednn_call.transposed_matmul)(a, b), left.T @ right)
    by_b = jax.jit(lambda a, b: onednn_call.matmul(a, b, transpose_b=True))
    found["abᵀ"] = _error(by_b(a, c), left @ third.T)
    d, bias, addend = normal(7, 11), normal(11), normal(33, 11)
    fused = jax.jit(
        lambda a, d, b, e: onednn_call.matmul(a, d, bias=b, addend=e, activation="RELU")
    )
    terms = np.asarray(bias, np.float64) + np.asarray(addend, np.float64)
    total = left @ np.asarray(d, np.float64) + terms
    found["fused ab"] = _error(fused(a, d, bias, addend), np.maximum(total, 0))
    many, more = normal(3, 33, 7), normal(3, 33, 5)
    stacked = np.swapaxes(np.asarray(many, np.float64), 1, 2) @ np.asarray(more, np.float64)
    found["batched aᵀb"] = _error(jax.jit(onednn_call.transposed_matmul)(many, more), stacked)
    return found


def main() -> str:
    """ "right", or the first case that is not."""
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        if not onednn_support.computes(dtype):
            continue
        for name, error in errors(dtype).items():
            if not error <= ALLOWED[jnp.dtype(dtype).itemsize]:
                return f"{name} in {jnp.dtype(dtype)}: relative error {error:.1e}"
    return "right"


if __name__ == "__main__":
    print(main())
    sys.stdout.flush()
