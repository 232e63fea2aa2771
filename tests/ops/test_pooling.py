"""Pooling against loops over windows, against XLA's own windows, and its messages."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnets import ops

IMAGE = (2, 7, 9, 3)


def random_image(shape=IMAGE):
    return np.random.default_rng(0).standard_normal(shape)


def loop_pool(x, window, strides, pads, mode):
    """Window by window; ``pads`` are pairs; "avg" does not count padding, "sum0" counts it as 0."""
    sizes = x.shape[1:-1]
    outs = [(n + lo + hi - k) // s + 1 for n, k, s, (lo, hi) in
            zip(sizes, window, strides, pads, strict=True)]  # fmt: skip
    y = np.zeros((x.shape[0], *outs, x.shape[-1]))
    for place in itertools.product(*map(range, outs)):
        cells = tuple(
            slice(max(p * s - lo, 0), min(p * s - lo + k, n))
            for p, s, (lo, _), k, n in zip(place, strides, pads, window, sizes, strict=True)
        )
        part = x[:, *cells].reshape(x.shape[0], -1, x.shape[-1])
        y[:, *place] = {
            "max": lambda part: part.max(1),
            "avg": lambda part: part.mean(1),
            "sum0": lambda part: part.sum(1) / np.prod(window),
        }[mode](part)
    return y


CASES = [
    ((3, 3), (2, 2), ((1, 1), (1, 1))),
    ((2, 3), (1, 2), ((0, 1), (2, 0))),
    ((1, 4), (3, 1), ((0, 0), (3, 1))),
]


@pytest.mark.parametrize(("window", "strides", "pads"), CASES)
def test_pooling_equals_loops(window, strides, pads, x64):
    x = random_image()
    options = {"strides": strides, "padding": pads}
    y = ops.max_pool(jnp.asarray(x), window, **options)
    np.testing.assert_array_equal(y, loop_pool(x, window, strides, pads, "max"))
    y = ops.avg_pool(jnp.asarray(x), window, **options)
    np.testing.assert_allclose(y, loop_pool(x, window, strides, pads, "sum0"), rtol=1e-13)
    y = ops.avg_pool(jnp.asarray(x), window, **options, count_include_pad=False)
    np.testing.assert_allclose(y, loop_pool(x, window, strides, pads, "avg"), rtol=1e-13)


@pytest.mark.parametrize("padding", ["SAME", "VALID", 1])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gradient_goes_where_xla_sends_it(padding, dtype):
    """select-and-scatter, with ties: the values are few."""
    x = jnp.asarray(np.random.default_rng(1).integers(0, 3, IMAGE), dtype)
    pads = padding if isinstance(padding, str) else ((0, 0), (1, 1), (1, 1), (0, 0))

    def reference(x):
        minus_infinity = np.asarray(-np.inf, x.dtype)
        return lax.reduce_window(x, minus_infinity, lax.max, (1, 3, 2, 1), (1, 2, 2, 1), pads)

    y, vjp = jax.vjp(lambda x: ops.max_pool(x, (3, 2), strides=2, padding=padding), x)
    expected, expected_vjp = jax.vjp(reference, x)
    np.testing.assert_array_equal(y, expected)
    # Whole numbers: no rounding, in any order of the sums.
    g = jnp.arange(y.size, dtype=jnp.float32).reshape(y.shape).astype(dtype) % 8
    np.testing.assert_array_equal(vjp(g)[0], expected_vjp(g)[0])


def test_overlapping_pooling_as_in_alexnet():
    shapes = [55]
    for _ in range(3):
        x = jnp.zeros((1, shapes[-1], shapes[-1], 1))
        shapes.append(ops.max_pool(x, 3, strides=2).shape[1])
    assert shapes == [55, 27, 13, 6]


@pytest.mark.parametrize(("size", "out"), [(112, 56), (56, 28), (28, 14), (14, 7)])
def test_ceil_mode_as_in_googlenet(size, out):
    x = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
    y = jax.eval_shape(lambda x: ops.max_pool(x, 3, strides=2, ceil_mode=True), x)
    assert y.shape == (1, out, out, 1)


def test_nan_is_not_lost():
    x = jnp.zeros((1, 4, 4, 1)).at[0, 1, 1, 0].set(jnp.nan)
    y = ops.max_pool(x, 2)
    np.testing.assert_array_equal(jnp.isnan(y).ravel(), [True, False, False, False])


def test_padding_never_wins_the_maximum():
    assert (ops.max_pool(jnp.full((1, 2, 2, 1), -5.0), 2, strides=1, padding=1) == -5).all()


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8, jnp.bool_])
def test_whole_numbers_have_a_maximum(dtype):
    x = np.random.default_rng(0).integers(0, 2, (1, 4, 4, 2))
    y = ops.max_pool(jnp.asarray(x, dtype), 2, padding=1)
    assert y.dtype == dtype
    expected = loop_pool(x, (2, 2), (2, 2), ((1, 1), (1, 1)), "max")
    np.testing.assert_array_equal(y, expected.astype(dtype))


def test_half_precision_sums_are_formed_in_float32():
    # 4096 + 1 = 4096 in bfloat16, so that adding up 64² ones stops at 256.
    x = jnp.ones((1, 64, 64, 1), jnp.bfloat16)
    assert ops.global_avg_pool(x)[0, 0] == 1
    assert ops.avg_pool(x, 64)[0, 0, 0, 0] == 1
    assert ops.adaptive_avg_pool(x, 1)[0, 0, 0, 0] == 1


def test_global_average():
    x = random_image((2, 3, 4, 5, 6)).astype(np.float32)
    y = ops.global_avg_pool(jnp.asarray(x))
    np.testing.assert_allclose(y, x.mean((1, 2, 3)), rtol=1e-5, atol=1e-6)
    assert ops.global_avg_pool(jnp.asarray(x), keepdims=True).shape == (2, 1, 1, 1, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda x: ops.max_pool(x, (2, 2, 2)),
            r"window: got \(2, 2, 2\); .* each of the 2 spatial",
        ),
        (lambda x: ops.max_pool(x, 0), r"window: got 0; expected a positive int"),
        (lambda x: ops.max_pool(x, 2, strides=0), r"strides: got 0"),
        (lambda x: ops.max_pool(x, 2, padding=2), r"padding: \(2, 2\).*nothing but padding"),
        (lambda x: ops.max_pool(x, 2, padding=-1), r"padding: got -1"),
        (lambda x: ops.max_pool(x, 2, padding="FULL"), r"padding: got 'FULL'.*\"SAME\""),
        (
            lambda x: ops.max_pool(x, 8),
            r"window: 8 on spatial axis 0 is larger than the input of 7",
        ),
        (lambda x: ops.max_pool(x[0, 0], 2), r"x: got shape \(9, 3\)"),
        (lambda x: ops.avg_pool(x.astype(int), 2), r"x: got int32 .* expected floating"),
        (lambda x: ops.global_avg_pool(x[0, 0]), r"x: got float32 of shape \(9, 3\)"),
        (lambda x: ops.adaptive_avg_pool(x, (1, 2, 3)), r"output_size: got \(1, 2, 3\)"),
        (lambda x: ops.adaptive_avg_pool(x, 0), r"output_size: got 0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones(IMAGE))
