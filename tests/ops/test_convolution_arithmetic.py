"""The calculators against arrays: shapes and counts of real kernels, the support of a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import conv
from jaxnets.ops.convolution import arithmetic
from jaxnets.ops.convolution.arithmetic import Layer, stack_cost

STACKS = {
    "three 3x3": [Layer(3, 2, padding=1)] * 3,
    "strides": [Layer(7, 2, strides=2, padding=3), Layer(3, 4, strides=2), Layer(3, 2, padding=1)],
    "holes": [Layer(3, 2, dilation=2, padding=2), Layer(3, 2, dilation=3, padding=3)],
    "rectangles": [Layer((1, 7), 2, padding=(0, 3)), Layer((7, 1), 2, padding=(3, 0))],
    "groups": [Layer(3, 4, groups=2), Layer((3, 5), 4, groups=4, strides=(1, 2), use_bias=True)],
}


@pytest.mark.parametrize("name", STACKS)
def test_receptive_field_is_the_support_of_the_gradient(name):
    layers, shape = STACKS[name], (41, 43, 2)
    cost = arithmetic.total(stack_cost(layers, shape))
    channels, kernels = shape[-1], []
    for layer in layers:
        window = layer.window if isinstance(layer.window, tuple) else (layer.window,) * 2
        kernels.append(jnp.ones((*window, channels // layer.groups, layer.features)))
        channels = layer.features
    weights = sum(k.size for k in kernels)
    biases = sum(layer.features for layer in layers if layer.use_bias)
    assert cost.parameters == weights + biases

    def network(x):
        for layer, kernel in zip(layers, kernels, strict=True):
            padding = layer.padding if isinstance(layer.padding, int) else list(layer.padding)
            x = conv(
                x,
                kernel,
                strides=layer.strides,
                padding=padding,
                dilation=layer.dilation,
                groups=layer.groups,
            )
        return x

    x = jnp.ones((1, *shape))
    y, pullback = jax.vjp(jax.jit(network), x)
    assert y.shape[1:] == cost.shape
    middle = tuple(s // 2 for s in cost.shape[:2])  # far enough from the padding
    support = np.asarray(pullback(jnp.zeros_like(y).at[0, *middle, 0].set(1.0))[0][0, ..., :]) != 0
    for axis in (0, 1):
        seen = np.flatnonzero(support.any((1 - axis, 2)))
        # With holes between strides the support has gaps: its extent is the receptive field.
        assert seen[-1] - seen[0] + 1 == cost.field[axis]
        center = cost.start[axis] + middle[axis] * cost.jump[axis]
        assert (seen[0] + seen[-1]) / 2 == center


def test_macs_count_every_weight_at_every_place():
    (cost,) = stack_cost([Layer(3, 16, strides=2, padding=1, groups=4)], (9, 9, 8))
    assert cost.macs == 5 * 5 * 9 * (8 // 4) * 16
    assert stack_cost([Layer(2, strides=2)], (8, 8, 3))[0] == arithmetic.Cost(
        0, 0, (4, 4, 3), (2, 2), (2, 2), (0.5, 0.5)
    )


def test_published_savings():
    one, three = arithmetic.small_windows(7, 64, (56, 56, 64))
    assert (one.parameters, three.parameters) == (49 * 64**2, 27 * 64**2)
    # GoogLeNet's inception 3a with and without projections, in multiplications (lecture slide).
    branches = [(3, 192, 64), (5, 96, 64)]
    naive = [arithmetic.bottleneck(k, d, r, (28, 28, 256))[0].macs for k, d, r in branches]
    cheap = [arithmetic.bottleneck(k, d, r, (28, 28, 256))[1].macs for k, d, r in branches]
    one_by_one = 28 * 28 * 256 * 128
    pool = 28 * 28 * 256 * 64
    assert round((sum(naive) + one_by_one) / 1e6) == 854
    assert round((sum(cheap) + one_by_one + pool) / 1e6) == 271
    plain, narrow = arithmetic.bottleneck(3, 256, 64, (56, 56, 256), expand=True)
    assert narrow.parameters == 2 * 256 * 64 + 9 * 64**2 < plain.parameters / 8


def test_rank_one_kernels_factorize_exactly(x64):
    rng = np.random.default_rng(0)
    column, row = rng.standard_normal(5), rng.standard_normal(5)
    x = rng.standard_normal((1, 12, 13, 1))
    square = conv(x, np.outer(column, row)[..., None, None], padding=2)
    thin = conv(x, row[None, :, None, None], padding=((0, 0), (2, 2)))
    thin = conv(thin, column[:, None, None, None], padding=((2, 2), (0, 0)))
    np.testing.assert_allclose(thin, square, atol=1e-12)


def test_impossible_stacks_are_named():
    with pytest.raises(ValueError, match=r"layers\[1\]: groups=3"):
        stack_cost([Layer(1, 4), Layer(1, 6, groups=3)], (4, 4, 4))
    with pytest.raises(ValueError, match="larger than its padded input"):
        stack_cost([Layer(5, 4)], (4, 4, 4))
    with pytest.raises(ValueError, match="window must be odd"):
        arithmetic.small_windows(4, 8, (8, 8, 8))


def test_grids_are_reduced_cheaply_without_a_bottleneck():
    """The two orders differ by four; beside pooling only the new channels are computed."""
    first, last, beside = arithmetic.grid_reductions(3, 640, (34, 34, 320))
    assert first.macs == 17 * 17 * 9 * 320 * 640 and last.macs == 4 * first.macs
    assert beside.macs == 17 * 17 * 9 * 320 * (640 - 320) == first.macs / 2
    assert first.shape == last.shape == beside.shape == (17, 17, 640)
    for arguments, message in [
        ((2, 640, (34, 34, 320)), "odd"),
        ((3, 640, (35, 35, 320)), "even height and width, got 35×35"),
        ((3, 320, (34, 34, 320)), "more than the input's 320"),
    ]:
        with pytest.raises(ValueError, match=message):
            arithmetic.grid_reductions(*arguments)
