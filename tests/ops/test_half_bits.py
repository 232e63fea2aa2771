"""Half precision moved and compared as integers: the plain values, bit for bit."""

import itertools
import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.nn import optimize_for_inference
from jaxnets.ops import avg_pool, max_pool
from jaxnets.ops.half_bits import concatenate, moved, ordered, unordered
from jaxnets.ops.materialize import materialize

HALVES = [jnp.bfloat16, jnp.float16]


def every_value(dtype) -> jax.Array:
    """All 65,536 of them."""
    return jax.lax.bitcast_convert_type(jnp.arange(2**16, dtype=jnp.uint16), dtype)


@pytest.mark.parametrize("dtype", HALVES)
def test_the_order_is_that_of_all_numbers_and_can_be_undone(dtype):
    values = every_value(dtype)
    keys = ordered(values)
    wide = np.asarray(values).astype(np.float32)
    finite = ~np.isnan(wide)
    by_key = np.argsort(np.asarray(keys)[finite], kind="stable")
    assert (wide[finite][by_key][1:] >= wide[finite][by_key][:-1]).all()
    # Distinct numbers have distinct keys, and NaN of either sign is above all of them.
    assert len(np.unique(np.asarray(keys))) == 2**16
    assert np.asarray(keys)[~finite].min() > np.asarray(keys)[finite].max()
    back = jax.lax.bitcast_convert_type(unordered(keys, dtype), jnp.uint16)
    np.testing.assert_array_equal(back, np.arange(2**16))


@pytest.mark.parametrize("dtype", HALVES)
def test_a_maximum_is_that_of_the_numbers_with_nan_and_infinity(dtype):
    special = [-np.inf, -2.0, -0.0, 0.0, 1e-7, 3.0, np.inf, np.nan, -np.nan]
    pairs = jnp.array(list(itertools.product(special, special)), dtype)
    y = max_pool(pairs[..., None], 2)[:, 0, 0]
    expected = np.maximum(*np.asarray(pairs, np.float32).T)
    np.testing.assert_array_equal(np.asarray(y, np.float32), expected)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("window, strides, padding", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_max_pool_is_that_of_float32_with_its_gradient(dtype, window, strides, padding):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 9, 7, 3)), dtype)

    def pool(x):
        return max_pool(x, window, strides=strides, padding=padding)

    y, pull = jax.vjp(pool, x)
    wide, pull_wide = jax.vjp(pool, x.astype(jnp.float32))
    assert y.dtype == dtype
    np.testing.assert_array_equal(np.asarray(y, np.float32), wide)
    (dx,), (dx_wide,) = pull(jnp.ones_like(y)), pull_wide(jnp.ones_like(wide))
    np.testing.assert_array_equal(np.asarray(dx, np.float32), dx_wide)


def test_what_is_moved_keeps_every_bit_and_has_a_gradient_in_both_modes():
    values = every_value(jnp.bfloat16)
    joined = concatenate([values, values[::-1]], axis=0)
    bits = jax.lax.bitcast_convert_type(joined, jnp.uint16)
    up = np.arange(2**16)
    np.testing.assert_array_equal(bits, np.concatenate([up, up[::-1]]))

    def f(a, b):
        return moved(lambda a, b: jnp.concatenate([a[1:], jnp.pad(b, 1)]), a, b) ** 2

    a, b = jnp.array([1.0, 2, 3], jnp.bfloat16), jnp.array([4.0], jnp.bfloat16)
    y, tangent = jax.jvp(f, (a, b), (jnp.ones_like(a), jnp.ones_like(b)))
    assert y.tolist() == [4, 9, 0, 16, 0] and tangent.tolist() == [4, 6, 0, 8, 0]
    da, db = jax.grad(lambda *ab: f(*ab).sum(), (0, 1))(a, b)
    assert da.tolist() == [0, 4, 6] and db.tolist() == [8]
    mapped = jax.vmap(lambda a: moved(lambda a: a[::-1], a))(jnp.stack([a, a + 1]))
    assert mapped.tolist() == [[3, 2, 1], [4, 3, 2]]


@pytest.mark.parametrize("dtype", HALVES)
def test_materialized_values_are_the_same_to_the_bit(dtype):
    values = jnp.concatenate([jnp.ones(2, dtype), every_value(dtype)])
    kept = jax.jit(materialize)(values)
    same = [jax.lax.bitcast_convert_type(v, jnp.uint16) for v in (values, kept)]
    assert (same[0] == same[1]).all()


@pytest.mark.parametrize("dtype", [jnp.float32, *HALVES])
@pytest.mark.parametrize("count_include_pad", [True, False])
def test_means_of_overlapping_windows_are_those_of_the_definition(dtype, count_include_pad):
    """As many channels and pixels as oneDNN gets, where it is at hand."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 9, 8, 24)), dtype)

    def pool(x):
        return avg_pool(x, 3, strides=1, padding=1, count_include_pad=count_include_pad)

    wide = np.pad(np.asarray(x, np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = np.pad(np.ones((9, 8)), 1)
    taps = list(itertools.product(range(3), range(3)))
    counts = sum(inside[i : i + 9, j : j + 8] for i, j in taps)[..., None]
    counts = np.full_like(counts, 9) if count_include_pad else counts
    expected = sum(wide[:, i : i + 9, j : j + 8] for i, j in taps) / counts
    y, pull = jax.vjp(pool, x)
    tolerance = 8e-3 if dtype == jnp.bfloat16 else 1e-3 if dtype == jnp.float16 else 1e-6
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, tolerance, tolerance)
    # A mean's gradient, each output's share given back to its window.
    share = np.pad(np.broadcast_to(1 / counts, (9, 8, 1)), ((1, 1), (1, 1), (0, 0)))
    back = sum(share[i : i + 9, j : j + 8] for i, j in taps)
    (dx,) = pull(jnp.ones_like(y))
    np.testing.assert_allclose(
        np.asarray(dx, np.float64), np.broadcast_to(back, dx.shape), tolerance, tolerance
    )


def test_a_mean_spreads_nan_no_farther_than_its_window():
    x = jnp.ones((1, 9, 9, 64)).at[0, 4, 4, 3].set(jnp.nan)
    y = np.isnan(avg_pool(x, 3, strides=1, padding=1))
    assert y[0, 3:6, 3:6, 3].all() and y.sum() == 9


class Joined(nn.Module):
    """What is moved between two convolutions: padding, a concatenation, every second pixel."""

    @nn.compact
    def __call__(self, x):
        conv = partial(nn.Conv, 8, (1, 1), dtype=jnp.bfloat16)
        x = jnp.pad(conv(name="first")(x), ((0, 0), (1, 1), (0, 0), (0, 0)))
        return conv(name="second")(jnp.concatenate([x, x], -1)[:, ::2])


def test_an_optimized_network_moves_half_precision_as_integers():
    x, model = jnp.ones((1, 6, 6, 3)), Joined()
    variables = model.init(jax.random.key(0), x)
    optimized, folded = optimize_for_inference(model, variables, x)
    program = str(jax.make_jaxpr(optimized)(folded, x))
    moves = re.findall(r":(\w+)\[[^\]]*\] = (?:concatenate|pad|slice)\[", program)
    assert moves == ["u16"] * 3
    want = np.asarray(model.apply(variables, x), np.float32)
    found = np.asarray(optimized(folded, x), np.float32)
    np.testing.assert_allclose(found, want, atol=0.02 * np.abs(want).max())
