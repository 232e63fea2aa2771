"""FCN-32s, 16s and 8s: interpolation, where their crops lie, odd sizes, a classifier's weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model
from jaxnets.models.segmentation import FCNVGG, bilinear_init, convolutional, upsample
from jaxnets.models.vgg import VGG

TINY = {"widths": (2, 2, 2, 2, 2), "fc_width": 2}
JOINED = {32: (), 16: ("pool4",), 8: ("pool4", "pool3")}


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


@pytest.mark.parametrize("finest", JOINED)
def test_scores_move_with_the_image(finest, quick_jit):
    """By 32 pixels, the coarsest stride: crops and padding are where they belong."""
    rng = np.random.default_rng(0)
    network = FCNVGG(2, JOINED[finest], **TINY)
    assert create_model(f"fcn{finest}s_vgg16").joined == JOINED[finest]
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 96, 96, 3)))
    # Without biases zeros stay zeros, and nothing comes from the border of the canvas.
    variables = jax.tree.map(
        lambda a: np.float32(rng.normal(size=a.shape) if a.ndim > 1 else np.zeros(a.shape)), shapes
    )
    wide = np.zeros((1, 96, 128, 3), np.float32)
    wide[:, 20:60, 20:60] = rng.normal(size=(1, 40, 40, 3))
    moved = np.roll(wide, 32, axis=2)
    run = quick_jit(network.apply)
    first, second = np.asarray(run(variables, wide)), np.asarray(run(variables, moved))
    assert first.shape == (1, 96, 128, 2) and np.ptp(first) > 0
    # At the border of the image one of the coarsest cells is missing.
    limit = 1e-4 * np.abs(first).max()
    np.testing.assert_allclose(first[:, :, 32:64], second[:, :, 64:96], rtol=0, atol=limit)
    assert np.abs(first[:, :, 32:64] - first[:, :, 64:96]).max() > 100 * limit


@pytest.mark.parametrize("finest", JOINED)
def test_scores_lie_over_what_they_are_of(finest, quick_jit):
    """A bright square's scores, of a network that only passes brightness on, lie on the square."""
    network = FCNVGG(1, JOINED[finest], widths=(1,) * 5, fc_width=1)
    shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.zeros((1, 96, 96, 3)))

    def passing(path, leaf):
        if leaf.ndim == 1:
            return np.zeros(leaf.shape, np.float32)
        if "upscore" in jax.tree_util.keystr(path):
            return np.asarray(bilinear_init(None, leaf.shape))
        return np.full(leaf.shape, 1 / np.prod(leaf.shape[:3]), np.float32)

    variables = jax.tree_util.tree_map_with_path(passing, shapes)
    image = np.zeros((1, 320, 320, 3), np.float32)
    image[:, 96:224, 96:224] = 1
    scores = np.asarray(quick_jit(network.apply)(variables, image))[0, ..., 0]
    y, x = np.mgrid[:320, :320] + 0.5
    center = (scores * y).sum() / scores.sum(), (scores * x).sum() / scores.sum()
    # Poolings look at the larger of two pixels, and windows of 7 at whole cells.
    np.testing.assert_allclose(center, (160, 160), atol=8)


def test_a_classifier_s_weights_give_a_classifier_s_scores(quick_jit):
    """On 224×224 one place fits; the connected layers' matrices are its filters."""
    classifier = VGG(num_classes=3, **TINY)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 224, 224, 3)).astype(np.float32)
    shapes = jax.eval_shape(classifier.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda a: np.float32(rng.normal(size=a.shape) / 3), shapes)
    network = FCNVGG(3, (), border=1, **TINY)
    whole = jax.eval_shape(network.init, jax.random.key(0), x)
    params = dict(jax.tree.map(lambda a: np.zeros(a.shape, np.float32), whole["params"]))
    put = convolutional(variables)["params"]
    assert jax.tree.map(jnp.shape, put) == jax.tree.map(
        jnp.shape, {name: whole["params"][name] for name in put}
    )
    # An enlargement whose only entry is where the image begins: the scores as they are.
    kernel = np.zeros((64, 64, 3, 3), np.float32)
    kernel[63 - 19, 63 - 19] = np.eye(3)  # Flax turns kernels around
    params |= {**put, "upscore32": {"kernel": kernel}}
    scores = np.asarray(quick_jit(network.apply)({"params": params}, x))
    expected = np.asarray(quick_jit(classifier.apply)(variables, x))
    assert np.abs(expected).max() > 1e-3
    # One order of sums against another.
    np.testing.assert_allclose(scores[:, 0, 0], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="got none of stage1"):
        convolutional({"params": {"fc6": {}}})


def test_any_size_gives_scores_of_that_size():
    for finest, size in ((8, (1, 1)), (16, (33, 64)), (32, (97, 50))):
        x = jax.ShapeDtypeStruct((1, *size, 3), "float32")
        network = FCNVGG(2, JOINED[finest], **TINY)
        scores, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
        assert scores.shape == (1, *size, 2)
