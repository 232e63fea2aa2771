"""What an algorithm holds beside its operands and its result, by XLA's own account."""

import math

import jax
import jax.numpy as jnp
import pytest

from jaxnets.ops.convolution import im2col, winograd
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.problem import Problem, make_problem

DIRECTIONS = ("forward", "input_gradient", "kernel_gradient")


def problem_of(x, kernel, **arguments) -> Problem:
    return make_problem(*(jax.ShapeDtypeStruct(s, "float32") for s in (x, kernel)), **arguments)


def held(algorithm: str, direction: str, problem: Problem) -> int:
    """Bytes of temporaries of the compiled program; nothing runs."""
    shapes = {
        "forward": (problem.x_shape, problem.kernel_shape),
        "input_gradient": (problem.out_shape, problem.kernel_shape),
        "kernel_gradient": (problem.x_shape, problem.out_shape),
    }[direction]
    body = getattr(ALGORITHMS[algorithm], direction)
    structs = [jax.ShapeDtypeStruct(s, "float32") for s in shapes]
    program = jax.jit(lambda a, b: body(a, b, problem)).lower(*structs).compile()
    return program.memory_analysis().temp_size_in_bytes


def columns_bytes(problem: Problem) -> int:
    """K·C numbers for every output pixel."""
    return 4 * problem.pixels * problem.taps * problem.in_channels


def spectra_bytes(problem: Problem) -> int:
    """The spectra of pictures, kernels and results, half of each being redundant."""
    lengths = [s + max(p) for s, p in zip(problem.spatial, problem.padding, strict=True)]
    frequencies = math.prod(lengths[:-1]) * (lengths[-1] // 2 + 1)
    channels = problem.in_channels + problem.out_channels
    signals = problem.batch * channels + math.prod(problem.kernel_shape[-2:])
    return 8 * frequencies * signals


def tiles_bytes(problem: Problem) -> int:
    """36 numbers for every 4×4 pixels in and out, and for every kernel."""
    tiles = problem.batch * math.prod(-(-o // 4) for o in problem.out_spatial)
    channels = problem.in_channels + problem.out_channels
    return 4 * 36 * (tiles * channels + math.prod(problem.kernel_shape[-2:]))


def padded_bytes(problem: Problem) -> int:
    return 4 * problem.batch * math.prod(problem.padded) * problem.in_channels


CASES = {
    "im2col": (problem_of((4, 28, 28, 32), (3, 3, 32, 48), padding=1), columns_bytes),
    "fft": (problem_of((4, 32, 32, 16), (15, 15, 16, 16), padding=7), spectra_bytes),
    "winograd": (problem_of((4, 28, 28, 32), (3, 3, 32, 48), padding=1), tiles_bytes),
    "shift": (
        problem_of((4, 28, 28, 64), (3, 3, 1, 64), padding=1, groups=64),
        # Its gradients read x and g, both padded.
        lambda p: 2 * padded_bytes(p),
    ),
    "pointwise": (
        problem_of((4, 28, 28, 96), (1, 1, 96, 64)),
        lambda p: 4 * p.pixels * p.in_channels,
    ),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("algorithm", CASES)
def test_no_more_is_held_than_twice_what_the_transform_needs(algorithm, direction):
    problem, need = CASES[algorithm]
    assert held(algorithm, direction, problem) <= 2 * need(problem)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_columns_are_made_in_blocks(direction, monkeypatch):
    """Of 3.6 MB of columns no more than the limit are there at once."""
    problem = problem_of((8, 28, 28, 16), (3, 3, 16, 24), padding=1)
    whole = held("im2col", direction, problem)
    limit = columns_bytes(problem) // 8
    monkeypatch.setattr(im2col, "LIMIT", limit)
    assert im2col.LIMIT < columns_bytes(problem) < whole + padded_bytes(problem)
    assert held("im2col", direction, problem) <= 2 * limit + 2 * padded_bytes(problem)


def test_large_columns_are_never_whole():
    """At 7.4 GB of columns, 512 MiB are held (and x, padded)."""
    problem = problem_of((64, 224, 224, 64), (3, 3, 64, 64), padding=1)
    most = 2 * im2col.LIMIT + 2 * padded_bytes(problem)
    assert held("im2col", "forward", problem) <= most < columns_bytes(problem)


def test_tiles_are_made_in_blocks():
    """VGG's second layer would have 463 MB of tiles; two blocks and one image's rows are held."""
    problem = problem_of((8, 224, 224, 64), (3, 3, 64, 64), padding=1)
    most = 2 * winograd.BLOCK + 2 * 4 * 36 * 64 * 64 + 2**20
    assert held("winograd", "forward", problem) <= most < tiles_bytes(problem) / 7


def test_half_precision_takes_no_more():
    problem = problem_of((4, 28, 28, 32), (3, 3, 32, 48), padding=1)
    body = ALGORITHMS["im2col"].forward
    structs = [
        jax.ShapeDtypeStruct(s, jnp.bfloat16) for s in (problem.x_shape, problem.kernel_shape)
    ]
    program = jax.jit(lambda a, b: body(a, b, problem)).lower(*structs).compile()
    assert program.memory_analysis().temp_size_in_bytes <= 2 * columns_bytes(problem)
