"""FCN-8s: interpolation, where its crops lie, and images of odd sizes."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models.segmentation import FCN8s, bilinear_init, upsample

SMALL = FCN8s(2, widths=(2, 2, 2, 2, 2), fc_width=2)


def test_the_kernel_interpolates():
    """A transposed convolution with it is interpolation between the centers of pixels."""
    x = np.random.default_rng(0).random((1, 5, 6, 1)).astype(np.float32)
    kernel = bilinear_init(None, (4, 4, 1, 1))
    made = jax.lax.conv_transpose(
        x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    expected = upsample(x, (10, 12))
    # Beyond the outer centers there is nothing to interpolate with but zeros.
    np.testing.assert_allclose(made[:, 2:-2, 2:-2], expected[:, 1:-1, 1:-1], atol=1e-6)


def test_scores_move_with_the_image(quick_jit):
    """By 32 pixels, the coarsest stride: crops and padding are where they belong."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(SMALL.init, jax.random.key(0), jnp.zeros((1, 96, 96, 3)))
    # Without biases zeros stay zeros, and nothing comes from the border of the canvas.
    variables = jax.tree.map(
        lambda a: np.float32(rng.normal(size=a.shape) if a.ndim > 1 else np.zeros(a.shape)), shapes
    )
    wide = np.zeros((1, 96, 128, 3), np.float32)
    wide[:, 20:60, 20:60] = rng.normal(size=(1, 40, 40, 3))
    moved = np.roll(wide, 32, axis=2)
    run = quick_jit(SMALL.apply)
    first, second = np.asarray(run(variables, wide)), np.asarray(run(variables, moved))
    assert first.shape == (1, 96, 128, 2) and np.ptp(first) > 0
    # At the border of the image one of the coarsest cells is missing.
    limit = 1e-4 * np.abs(first).max()
    np.testing.assert_allclose(first[:, :, 32:64], second[:, :, 64:96], rtol=0, atol=limit)
    assert np.abs(first[:, :, 32:64] - first[:, :, 64:96]).max() > 100 * limit


def test_any_size_gives_scores_of_that_size():
    for size in ((1, 1), (33, 64), (97, 50)):
        x = jax.ShapeDtypeStruct((1, *size, 3), "float32")
        scores, _ = jax.eval_shape(SMALL.init_with_output, jax.random.key(0), x)
        assert scores.shape == (1, *size, 2)
