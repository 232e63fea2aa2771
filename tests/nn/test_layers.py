"""Dense, dropout, Maxout and PReLU layers against their formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn, ops
from jaxnets.ops.convolution import onednn_support


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def test_dense():
    x = normal(2, 3, 4)
    variables = nn.Dense(5, bias_init=jax.nn.initializers.normal(1.0)).init(jax.random.key(0), x)
    p = variables["params"]
    expected = np.asarray(x) @ np.asarray(p["kernel"]) + np.asarray(p["bias"])
    np.testing.assert_allclose(nn.Dense(5).apply(variables, x), expected, rtol=1e-5, atol=1e-6)
    bare = nn.Dense(5, use_bias=False)
    assert set(bare.init(jax.random.key(0), x)["params"]) == {"kernel"}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_products_of_half_precision_are_those_of_single_rounded(dtype):
    """Large enough for oneDNN, which alone runs them in half precision; in any mode of JAX."""
    # Few rows: jax 0.12's own products of half precision sum over many in half precision.
    x, kernel, g = (a.astype(dtype) for a in (normal(2, 4, 1024), normal(1024, 3072), normal(2, 1)))
    kernel, g = kernel / 16, g[:, :, None]
    called = onednn_support.available() and onednn_support.computes(dtype)
    assert ("jaxnets_conv" in str(jax.make_jaxpr(ops.dense)(x, kernel))) == called

    def total(dense, x, kernel):
        return (dense(x, kernel).astype(jnp.float32) * g.astype(jnp.float32)).sum()

    def wide(x, kernel):
        x, kernel = x.astype(jnp.float32), kernel.astype(jnp.float32)
        return jnp.matmul(x, kernel, precision="highest")

    def check(found, expected):
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found.astype(jnp.float32), expected.astype(jnp.float32),
            atol=0.01 * float(jnp.abs(expected).max()),
        )  # fmt: skip

    found, expected = jax.jit(ops.dense)(x, kernel), wide(x, kernel)
    check(found, expected)
    for one, other in zip(
        jax.jit(jax.grad(partial(total, ops.dense), (0, 1)))(x, kernel),
        jax.grad(partial(total, wide), (0, 1))(x, kernel),
        strict=True,
    ):
        check(one, other)
    both = jnp.stack([kernel, -kernel])
    each = jax.jit(jax.vmap(ops.dense, (None, 0)))(x, both)
    check(each, jnp.stack([expected, -expected]))
    check(jax.jit(jax.vmap(ops.dense))(x, both), jnp.stack([expected[0], -expected[1]]))
    _, tangent = jax.jvp(lambda x: ops.dense(x, kernel), (x,), (x,))
    check(tangent, expected)


def test_dense_starts_as_he_untruncated():
    w = nn.Dense(300).init(jax.random.key(0), jnp.ones((1, 1000)))["params"]["kernel"]
    np.testing.assert_allclose(w.var() * 1000, 2.0, rtol=0.02)  # 300,000 numbers: ±0.3 %
    assert jnp.abs(w).max() > 4 * np.sqrt(2 / 1000)


@pytest.mark.parametrize("scale_in_training", [True, False])
def test_dropout_keeps_the_expectation(scale_in_training):
    layer, x = nn.Dropout(0.3, scale_in_training=scale_in_training), jnp.ones(50_000)
    trained = layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    tested = layer.apply({}, x, train=False)
    expected = 1.0 if scale_in_training else 0.7
    np.testing.assert_allclose(tested, jnp.full_like(x, expected), rtol=1e-6)
    # 4 standard deviations of the mean: 4·√(0.21/50000)/0.7 = 1.2 %.
    np.testing.assert_allclose(trained.mean(), tested.mean(), rtol=0.012)


def test_dropout_of_whole_channels():
    layer, x = nn.Dropout(0.5, broadcast_axes=(1, 2)), jnp.ones((8, 4, 4, 16))
    y = layer.apply({}, x, train=True, rngs={"dropout": jax.random.key(0)})
    per_channel = np.asarray(y).reshape(8, 16, 16)
    assert (per_channel == per_channel[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 2.0}


def test_dropout_needs_no_key_where_it_does_nothing():
    x = jnp.ones(3)
    np.testing.assert_array_equal(nn.Dropout(0.5).apply({}, x, train=False), x)
    np.testing.assert_array_equal(nn.Dropout(0.0).apply({}, x, train=True), x)
    with pytest.raises(ValueError, match=r"rate: got 5; expected the share of units to drop"):
        nn.Dropout(5).apply({}, x, train=False)


@pytest.mark.parametrize("kernel_size", [None, (3, 2)])
def test_maxout_is_the_largest_of_its_pieces(kernel_size):
    x = normal(2, 5, 6, 4)
    layer = nn.Maxout(7, pieces=3, kernel_size=kernel_size, strides=1, padding=0)
    variables = layer.init(jax.random.key(0), x)
    linear = {name: np.asarray(p) for name, p in variables["params"]["linear"].items()}
    pieces = []
    for j in range(3):
        part = [jnp.asarray(linear[name][..., 7 * j : 7 * j + 7]) for name in ("kernel", "bias")]
        if kernel_size is None:
            pieces.append(ops.dense(x, *part))
        else:
            pieces.append(ops.conv(x, part[0]) + part[1].reshape(1, 1, 1, 7))
    expected = np.max(pieces, axis=0)
    np.testing.assert_allclose(layer.apply(variables, x), expected, rtol=1e-5, atol=1e-5)
    fan_in = 4 if kernel_size is None else 4 * 3 * 2
    count = sum(p.size for p in jax.tree.leaves(variables))
    assert count == 3 * (fan_in * 7 + 7)


def test_maxout_with_a_zero_piece_is_a_relu_layer():
    x = normal(5, 4)
    variables = nn.Maxout(3, pieces=2).init(jax.random.key(0), x)
    linear = variables["params"]["linear"]
    kernel = linear["kernel"].at[:, 3:].set(0)
    y = nn.Maxout(3).apply({"params": {"linear": {**linear, "kernel": kernel}}}, x)
    relu = ops.relu(ops.dense(x, kernel[:, :3], linear["bias"][:3]))
    np.testing.assert_allclose(y, relu, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("per_channel", [True, False])
def test_prelu(per_channel):
    x = normal(5, 3)
    layer = nn.PReLU(per_channel=per_channel)
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["slope"].shape == ((3,) if per_channel else ())
    np.testing.assert_array_equal(layer.apply(variables, x), np.where(x > 0, x, 0.25 * x))


def test_local_response_norm_hands_its_fields_on():
    x = 9 * normal(2, 8)
    fields = {"size": 3, "alpha": 0.2, "beta": 0.6, "k": 1.5, "divide_by_size": True}
    y = nn.LocalResponseNorm(**fields).apply({}, x)
    np.testing.assert_array_equal(y, ops.local_response_norm(x, **fields))
