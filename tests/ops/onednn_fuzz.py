"""Random convolutions by oneDNN against the definition, as a program of its own.

python tests/ops/onednn_fuzz.py SEED COUNT: what oneDNN refuses would end the process, so a test
runs this in a child. Prints one line of JSON: how many were right, and those that were not.
"""

import itertools
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import onednn, onednn_support
from jaxnets.ops.convolution.onednn_probe import definition
from jaxnets.ops.convolution.problem import Problem

TOGETHER = 10  # convolutions in one program: most of the time is compilation
# Largest relative error: rounding of sums of hundreds of products; one rounding to 8 and 11 bits,
# and for half-precision kernel gradients a second one, per image.
ALLOWED = {"float32": 1e-5, "bfloat16": 1.6e-2, "float16": 2e-3}


# Found by random ones on Intel with AVX-512-FP16: oneDNN writes (the first) and reads beyond its
# memory, or takes the kernel that hangs (the last two).
FOUND = [
    Problem((1, 1, 7, 1, 15), (4, 4, 1, 15, 13), (1,) * 3, ((3, 3), (2, 2), (0, 0)), (2, 2, 3)),
    Problem((2, 3, 6, 7, 17), (4, 2, 3, 17, 1), (2, 1, 1), ((0, 2), (1, 0), (1, 0)), (1,) * 3),
    Problem((3, 1, 7, 4, 1), (4, 4, 4, 1, 16), (1,) * 3, ((2, 3), (3, 0), (1, 1)), (1,) * 3),
    Problem((1, 9, 7, 60), (4, 11, 1, 60), (2, 2), ((2, 1), (8, 8)), (2, 1), 60),
    Problem((3, 9, 8, 128), (4, 4, 16, 128), (1, 2), ((3, 0), (4, 9)), (1, 3), 8),
]


def random_problem(rng) -> Problem:
    """One to three axes, odd sizes, every kind of padding, strides, holes, groups, depthwise."""
    while True:
        rank = int(rng.choice([1, 2, 2, 2, 3, 3]))
        largest = {1: 40, 2: 14, 3: 8}[rank]
        groups = int(rng.choice([1, 1, 1, 2, 3, 4, 8]))
        fan_in, fan_out = int(rng.integers(1, 20)), int(rng.integers(1, 20))
        if rng.random() < 0.25:
            fan_in, groups, fan_out = 1, int(rng.integers(2, 40)), int(rng.choice([1, 1, 2, 3]))
        elif rng.random() < 0.2:
            fan_in, fan_out = (int(rng.choice([16, 32, 64])) for _ in range(2))

        def axes(low, high, rank=rank):
            return tuple(int(rng.integers(low, high)) for _ in range(rank))

        spatial, window = axes(1, largest), axes(1, 6 if rank < 3 else 5)
        strides = axes(1, 4) if rng.random() < 0.6 else (1,) * rank
        dilation = axes(1, 4) if rng.random() < 0.3 else (1,) * rank
        widest = 2 if rng.random() < 0.1 else 1  # of the window's extent
        reach = [((k - 1) * d + 1) * widest for k, d in zip(window, dilation, strict=True)]
        padding = tuple((int(rng.integers(r)), int(rng.integers(r))) for r in reach)
        problem = Problem(
            (int(rng.integers(1, 4)), *spatial, fan_in * groups),
            (*window, fan_in, fan_out * groups),
            strides,
            padding,
            dilation,
            groups,
        )
        if min(problem.out_spatial) >= 1:
            return problem


def gradients(x, kernel, g, problem: Problem):
    """Gradients of ⟨g, y⟩ in x and the kernel, tap by tap in float64."""
    groups, out = problem.groups, problem.out_channels
    padded = np.pad(x, [(0, 0), *problem.padding, (0, 0)])
    dx, dk = np.zeros_like(padded), np.zeros(problem.kernel_shape)
    grouped_g = g.reshape(*g.shape[:-1], groups, out // groups)
    for tap in itertools.product(*(range(k) for k in problem.window)):
        steps = zip(tap, problem.dilation, problem.out_spatial, problem.strides, strict=True)
        places = tuple(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in steps)
        seen = padded[(slice(None), *places)]
        seen = seen.reshape(*seen.shape[:-1], groups, -1)
        weights = kernel[tap].reshape(-1, groups, out // groups)
        dx[(slice(None), *places)] += np.einsum("...gd,cgd->...gc", grouped_g, weights).reshape(
            *g.shape[:-1], -1
        )
        rows = seen.reshape(-1, *seen.shape[-2:]), grouped_g.reshape(-1, *grouped_g.shape[-2:])
        dk[tap] = np.einsum("pgc,pgd->cgd", *rows).reshape(dk[tap].shape)
    inside = tuple(
        slice(before, before + size)
        for (before, _), size in zip(problem.padding, problem.spatial, strict=True)
    )
    return dx[(slice(None), *inside)], dk


def check(problems, dtypes, rng) -> list[str]:
    """Run some problems in one program; returns what is wrong."""
    data = []
    for problem, dtype in zip(problems, dtypes, strict=True):
        shapes = problem.x_shape, problem.kernel_shape, problem.out_shape
        data.append([jnp.asarray(rng.standard_normal(s), dtype) for s in shapes])

    @jax.jit
    def run(data):
        results = []
        for problem, (x, kernel, g) in zip(problems, data, strict=True):
            alone = problem.replace(x_shape=(1, *problem.x_shape[1:]))
            results.append(
                (
                    onednn.forward(x, kernel, problem),
                    onednn.input_gradient(g, kernel, problem),
                    onednn.kernel_gradient(x, g, problem),
                    onednn.forward(x[-1:], kernel, alone),
                )
            )
        return results

    wrong = []
    for problem, dtype, arrays, got in zip(problems, dtypes, data, run(data), strict=True):
        x, kernel, g = (np.asarray(a, np.float64) for a in arrays)
        y = definition(x, kernel, problem)
        wants = (y, *gradients(x, kernel, g, problem), y[-1:])
        for name, a, want in zip(("y", "dx", "dk", "last image"), got, wants, strict=True):
            scale = np.abs(want).max()
            error = np.abs(np.asarray(a, np.float64) - want).max()
            if a.shape != want.shape or not error <= ALLOWED[dtype] * scale:
                wrong.append(f"{name}: {error / max(scale, 1e-30):.1e} {dtype} {problem}")
    return wrong


def main(seed: int, count: int) -> dict:
    """Check ``count`` random convolutions."""
    rng, done = np.random.default_rng(seed), 0
    wrong = [
        line
        for dtype in ("float32", "bfloat16")
        for line in check(FOUND, [dtype] * len(FOUND), rng)
    ]
    while done < count:
        some = min(TOGETHER, count - done)
        problems = [random_problem(rng) for _ in range(some)]
        dtypes = [str(rng.choice(["float32", "float32", "bfloat16", "float16"])) for _ in problems]
        # Where the process ends, this says at which ones.
        sys.stderr.write("".join(f"{p} {d}\n" for p, d in zip(problems, dtypes, strict=True)))
        sys.stderr.flush()
        wrong += check(problems, dtypes, rng)
        done += some
        jax.clear_caches()
    return {"oneDNN": onednn_support.available(), "checked": done, "wrong": wrong}


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]))))
