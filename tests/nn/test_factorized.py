"""Large windows as several small ones: place, reach, cost, and weights of the same function."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model
from jaxnets.nn import Conv, Dense, Factorized, separate
from jaxnets.ops import conv, relu


def weights(network, shape):
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), x)
    return sum(leaf.size for leaf in jax.tree.leaves(variables))


@pytest.mark.parametrize(
    ("form", "n", "left"),
    [
        *(("stacked", 7, 27 / 49), ("stacked", 5, 18 / 25)),
        *(("rectangular", 3, 2 / 3), ("rectangular", 7, 2 / 7)),
    ],
)
def test_saves_what_the_papers_say(form, n, left):
    layer = Conv(8, (n, n), padding=n // 2, use_bias=False)
    shape = (1, 12, 12, 8)
    assert weights(Factorized(layer, form=form), shape) / weights(layer, shape) == left


LAYERS = {
    "plain": {"padding": 3},
    "strided": {"strides": 2, "padding": 3},
    "unequal": {"strides": (2, 1), "padding": ((3, 2), (0, 5))},
    "dilated": {"dilation": 2, "padding": 5},
    "same": {"strides": 2, "padding": "SAME"},
    "depthwise": {"groups": 4, "padding": 3},
}


@pytest.mark.parametrize("form", ["stacked", "rectangular"])
@pytest.mark.parametrize("name", LAYERS)
def test_every_output_keeps_its_place_and_what_it_sees(name, form):
    layer = Conv(4, (7, 7), **LAYERS[name])
    x = jnp.ones((1, 18, 16, 4))

    def seen(network):
        """Which pixels each of three outputs depends on, with positive weights."""
        variables = jax.tree.map(jnp.ones_like, network.init(jax.random.key(0), x))
        y, back = jax.vjp(lambda x: network.apply(variables, x), x)
        places = [(0, 0), (y.shape[1] // 2, y.shape[2] // 2), (-1, -1)]
        return y.shape, [
            np.asarray(back(jnp.zeros_like(y).at[0, i, j].set(1))[0][0, ..., 0] > 0)
            for i, j in places
        ]

    shape, fields = seen(layer)
    found_shape, found = seen(Factorized(layer, form=form))
    assert found_shape == shape
    # Parts pad between each other: at the border a stack sees no more, and in the middle the same.
    np.testing.assert_array_equal(found[1], fields[1])
    for inside, field in zip(found, fields, strict=True):
        assert not (inside & ~field).any()


def test_a_linear_stack_is_one_window():
    network = Factorized(Conv(3, (7, 7), use_bias=False))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 11, 10, 2)), jnp.float32)
    variables = network.init(jax.random.key(0), x)
    impulse = jnp.zeros((2, 13, 13, 2)).at[jnp.arange(2), 6, 6, jnp.arange(2)].set(1)
    response = network.apply(variables, impulse)  # (C_in, 7, 7, C_out), mirrored
    kernel = response[:, ::-1, ::-1].transpose(1, 2, 0, 3)
    np.testing.assert_allclose(network.apply(variables, x), conv(x, kernel), rtol=1e-4, atol=1e-4)
    bent = Factorized(Conv(3, (7, 7), use_bias=False), activation=relu)
    assert jnp.abs(bent.apply(variables, x) - conv(x, kernel)).max() > 0.1


def test_a_kernel_of_rank_one_is_exact_with_one_pair_of_maps_a_channel(x64):
    random = np.random.default_rng(1)
    u, v, w = random.normal(size=5), random.normal(size=5), random.normal(size=(3, 4))
    kernel = jnp.asarray(np.einsum("i,j,cd->ijcd", u, v, w))
    x = jnp.asarray(random.normal(size=(2, 9, 8, 3)))
    layer = Conv(4, (5, 5), strides=2, padding=2, use_bias=False, param_dtype=jnp.float64)
    variables = {"params": {"kernel": kernel}}
    network, separated = separate(layer, variables, x, rank=1 / 5)
    assert network.ranks == {"": 3}
    np.testing.assert_allclose(
        network.apply(separated, x), layer.apply(variables, x), rtol=1e-12, atol=1e-12
    )


def test_the_cut_is_the_nearest_kernel_of_its_form(x64):
    kernel = jnp.asarray(np.random.default_rng(2).normal(size=(3, 3, 4, 5)))
    layer, x = Conv(5, (3, 3), use_bias=False), jnp.ones((1, 5, 5, 4))
    _, separated = separate(layer, {"params": {"kernel": kernel}}, x, rank=0.5)
    parts = separated["params"]["network"]
    found = jnp.einsum("iacr,bjrd->ijcd", parts["part1"]["kernel"], parts["part2"]["kernel"])
    values = np.linalg.svd(kernel.transpose(0, 2, 1, 3).reshape(12, 15), compute_uv=False)
    np.testing.assert_allclose(jnp.sum((found - kernel) ** 2), np.sum(values[6:] ** 2), rtol=1e-12)


def test_networks_compute_the_same_in_other_parts():
    network = create_model("resnet20", num_classes=3, blocks=1, widths=(4, 6, 8))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 16, 16, 3)), jnp.float32)
    variables = jax.jit(network.init)(jax.random.key(0), x)
    separated, parts = separate(network, variables, x)
    assert len(separated.ranks) == 7  # the stem and two a block; 1×1 shortcuts stay
    expected = jax.jit(network.apply)(variables, x)
    np.testing.assert_allclose(jax.jit(separated.apply)(parts, x), expected, rtol=1e-4, atol=1e-5)
    start = jax.eval_shape(partial(separated.init, train=True), jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, start) == jax.tree.map(jnp.shape, parts)
    gradients = jax.jit(
        jax.grad(lambda p: (separated.apply({**parts, "params": p}, x) ** 2).sum())
    )(parts["params"])
    assert all(jnp.abs(g).max() > 0 for g in jax.tree.leaves(gradients))


def test_groups_keep_their_kernels():
    layer, x = Conv(4, (3, 3), groups=2), jnp.ones((1, 5, 5, 4))
    with pytest.raises(ValueError, match="no n×n convolution with n > 1 and one group"):
        separate(layer, layer.init(jax.random.key(0), x), x)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "shufflenet_v2_x1_0"])
@pytest.mark.parametrize("form", ["stacked", "rectangular"])
def test_registered_networks_have_both_forms(name, form):
    network = create_model(name, num_classes=5)
    x = jax.ShapeDtypeStruct(
        (1, 224 + 3 * (name == "alexnet"), 224 + 3 * (name == "alexnet"), 3), jnp.float32
    )
    y, _ = jax.eval_shape(Factorized(network, form=form).init_with_output, jax.random.key(0), x)
    assert y.shape == (1, 5)


def test_mistakes_are_explained():
    with pytest.raises(ValueError, match="'stacked' or 'rectangular', got 'thin'"):
        Factorized(Conv(4, (3, 3)), form="thin")
    layer, x = Conv(4, (3, 3)), jnp.ones((1, 5, 5, 4))
    variables = layer.init(jax.random.key(0), x)
    for rank in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="share of the singular values"):
            separate(layer, variables, x, rank=rank)
    dense = Dense(3)
    with pytest.raises(ValueError, match="no n×n convolution"):
        separate(dense, dense.init(jax.random.key(0), jnp.ones((1, 4))), jnp.ones((1, 4)))
    depthwise = Factorized(Conv(4, (3, 3), groups=4), form="rectangular", ranks={"": 6})
    with pytest.raises(ValueError, match="no multiple of its 4 groups"):
        depthwise.init(jax.random.key(0), x)
