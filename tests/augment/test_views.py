"""Views of test images: coordinates by hand, and what averaging over them does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.augment import views
from jaxnets.ensembles.view_average import apply_to_views, predict_with_views
from jaxnets.models import create_model

CORNERS_256 = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]


def test_144_boxes_of_a_landscape():
    """480×640 at 256 is 256×341: squares at columns 0, 42 (half of 85, to even) and 85."""
    boxes = views.googlenet_144_boxes(480, 640)
    assert len(boxes) == len(set(boxes)) == 144
    expected = []
    for left in (0, 42, 85):
        for y, x in CORNERS_256:
            expected += [(256, y, left + x, 224, False), (256, y, left + x, 224, True)]
        expected += [(256, 0, left, 256, False), (256, 0, left, 256, True)]
    assert boxes[:36] == expected
    # 352: 352×469; the corners' range is 128, the squares begin at 0, 58 and 117.
    assert {box.left for box in boxes if box.scale == 352 and box.side == 352} == {0, 58, 117}
    assert (352, 128, 117 + 128, 224, True) in boxes and (352, 64, 58 + 64, 224, False) in boxes
    assert [box.scale for box in boxes[::36]] == [256, 288, 320, 352]


def test_144_boxes_of_a_portrait_are_those_of_the_landscape_turned():
    landscape, portrait = views.googlenet_144_boxes(480, 640), views.googlenet_144_boxes(640, 480)
    turned = {(s, left, top, side, m) for s, top, left, side, m in landscape}
    assert set(portrait) == turned
    squares = [box for box in portrait if box.side == 256 and not box.mirrored]
    assert [(box.top, box.left) for box in squares] == [(0, 0), (42, 0), (85, 0)]


def test_144_crops_are_these_boxes():
    random = np.random.default_rng(0)
    image = random.uniform(size=(40, 50, 1)).astype(np.float32)
    crops = np.asarray(jax.jit(views.googlenet_144_crops)(image))
    assert crops.shape == (144, 224, 224, 1)
    boxes = views.googlenet_144_boxes(40, 50)
    for i in (0, 9, 10, 11, 60, 142):
        scale, top, left, side, mirrored = boxes[i]
        whole = jax.image.resize(image, (scale, 50 * scale // 40, 1), "linear")
        square = whole[top : top + side, left : left + side]
        expected = jax.image.resize(square, (224, 224, 1), "linear")
        expected = expected[:, ::-1] if mirrored else expected
        np.testing.assert_allclose(crops[i], expected, atol=1e-5)


def test_144_views_of_small_networks_are_those_of_large_ones_in_small():
    large, small = views.googlenet_144_boxes(480, 640), views.googlenet_144_boxes(60, 80, size=28)
    for a, b in zip(large, small, strict=True):
        np.testing.assert_allclose(np.array(a[:4]) / 8, b[:4], atol=1)
        assert a.mirrored == b.mirrored and a.scale == 8 * b.scale
    image = np.arange(32 * 40.0).reshape(32, 40, 1)
    crops = np.asarray(jax.jit(views.googlenet_144_crops, static_argnums=1)(image, 28))
    assert crops.shape == (144, 28, 28, 1)
    np.testing.assert_allclose(crops[0], image[:28, :28], atol=1e-3)
    np.testing.assert_allclose(crops[1], image[:28, 27::-1], atol=1e-3)


def test_a_constant_image_has_equal_views():
    crops = jax.jit(views.googlenet_144_crops)(np.full((40, 50, 1), 7, np.uint8))
    assert (np.asarray(crops) == 7).all()


def test_every_view_has_the_same_weight():
    images = np.random.default_rng(1).uniform(size=(3, 6, 7, 1))
    kernel = np.random.default_rng(2).normal(size=(25, 4))

    def predict(x):
        return jax.nn.softmax(x.reshape(len(x), -1) @ kernel)

    crops = views.ten_crop(images, 5)
    mean = np.mean([predict(crop) for crop in crops], 0)
    np.testing.assert_allclose(predict_with_views(predict, crops), mean, atol=1e-6)
    np.testing.assert_allclose(predict_with_views(predict, list(crops)), mean, atol=1e-6)
    # Mirrored first or last: nothing changes; nor for mirrored images.
    np.testing.assert_allclose(predict_with_views(predict, crops[::-1]), mean, atol=1e-6)
    mirrored = views.ten_crop(images[:, :, ::-1], 5)
    np.testing.assert_allclose(predict_with_views(predict, mirrored), mean, atol=1e-6)


def test_a_network_of_views_has_logits():
    """Their softmax is the mean, also where a probability is too small for a float32."""
    images = np.random.default_rng(1).uniform(size=(3, 4, 4, 1)).astype(np.float32)

    def apply_fn(variables, x, *, train):
        return variables * x.reshape(len(x), -1)[:, :3]

    for scale in (1.0, 1e4):
        logits = apply_to_views(apply_fn, views.flip_views)(scale, images, train=False)
        mean = predict_with_views(
            lambda x, s=scale: jax.nn.softmax(apply_fn(s, x, train=False)), views.flip_views(images)
        )
        assert np.isfinite(logits).all()
        np.testing.assert_allclose(jax.nn.softmax(logits), mean, atol=1e-6)


def test_dense_evaluation_at_several_scales():
    """VGG's own test: connected layers slide over images of any size, scales are averaged."""
    network = create_model("vgg11", num_classes=3).clone(
        stages=((3,),) * 5, widths=(2, 2, 2, 2, 2), fc_width=4, fc_window=1, dense=True
    )
    images = np.random.default_rng(1).uniform(size=(2, 32, 48, 3)).astype(np.float32)
    variables = jax.jit(network.init)(jax.random.key(0), images)
    scales = views.multi_scale(images, (32, 64))
    assert [v.shape[1:3] for v in scales] == [(32, 48), (32, 48), (64, 96), (64, 96)]

    @jax.jit
    def predict(x):
        return jax.nn.softmax(network.apply(variables, x))

    expected = np.mean([predict(view) for view in scales], 0)
    np.testing.assert_allclose(predict_with_views(predict, scales), expected, atol=1e-6)


def test_padded_crops_shift_the_image():
    images = jnp.ones((1, 6, 6, 1), jnp.uint8)
    crops = views.padded_ten_crop(images, 2)
    assert crops.dtype == jnp.uint8
    np.testing.assert_array_equal(crops[0, 0, :2], 0)
    np.testing.assert_array_equal(crops[0, 0, 2:, 2:], 1)
    np.testing.assert_array_equal(crops[4], images)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: views.ten_crop(jnp.zeros((1, 6, 7, 3)), 7), "size: got 7"),
        (lambda: views.ten_crop(jnp.zeros((6, 7, 3)), 5), "images: got shape"),
        (lambda: views.padded_ten_crop(jnp.zeros((1, 6, 7, 3))), "expected squares"),
        (lambda: views.googlenet_144_boxes(0, 5), "height: got 0"),
        (lambda: predict_with_views(lambda x: x, []), "views: got none"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
