"""Every transform at fixed parameters against torchvision's, stored by make_augment.py."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import augment as a
from jaxnets.augment.views import ten_crop


@pytest.fixture(scope="module")
def stored(golden):
    with np.load(golden / "augment.npz") as file:
        return dict(file)


def cases(stored, operation):
    """(image, parameters, torchvision's result) of every stored case of an operation."""
    found = [key.split("/", 2) for key in stored if key.startswith(operation + "/")]
    assert found
    for name in found:
        yield stored[name[1]], json.loads(name[2]), stored["/".join(name)]


EXACT = {
    "flip": lambda image, _: a.flip(image, True),
    "crop": lambda image, p: a.crop(image, *p, padding=4),
    "translate": lambda image, p: a.translate(image, *p),
}
COLORS = {
    "brightness": a.adjust_brightness,
    "contrast": a.adjust_contrast,
    "saturation": a.adjust_saturation,
    "hue": a.adjust_hue,
}


@pytest.mark.parametrize("operation", EXACT)
def test_moved_pixels_are_the_same(operation, stored):
    for image, parameters, expected in cases(stored, operation):
        ours = EXACT[operation](jnp.asarray(image), parameters)
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("operation", COLORS)
def test_colors_agree_to_a_gray_level(operation, stored):
    change = jax.jit(COLORS[operation])
    for image, amount, expected in cases(stored, operation):
        ours = np.asarray(change(image, amount), int)
        # torchvision cuts digits off where we round.
        assert np.abs(ours - expected).max() <= 1
    for image, amount, expected in cases(stored, f"float_{operation}"):
        floating = change(image.astype(np.float32) / 255, amount)
        np.testing.assert_allclose(floating, expected, atol=2e-6)


@pytest.mark.parametrize("traced", [False, True])
def test_resized_crops_agree_to_a_gray_level(traced, stored):
    resample = jax.jit(a.resample, static_argnums=(2, 3))
    chosen = jax.jit(a.resample, static_argnums=2)
    for image, (method, part, size), expected in cases(stored, "resized_crop"):
        if traced:
            ours = chosen(image, tuple(part), tuple(size), a.METHODS.index(method))
        else:
            ours = resample(image, tuple(part), tuple(size), method)
        difference = np.abs(np.asarray(ours, float) - expected)
        assert difference.max() <= (0 if method == "nearest" else 1), (method, part)


def test_erasing_is_cutout_at_a_place(stored):
    for image, (top, left, height, width), expected in cases(stored, "erase"):
        # Rows −2 … 5 of a square of 8 whose center is row 2: clipped at the border.
        assert (top, height, width) == (0, 6, 8)
        np.testing.assert_array_equal(a.cutout_at(image, 2, left + 4, 8), expected)


def test_ten_crops_in_the_same_order(stored):
    for name in ("tall", "wide"):
        ours = ten_crop(stored[name][None], 14)
        np.testing.assert_array_equal(ours[:, 0], stored[f"ten_crop/{name}"])


def test_mixup_and_cutmix(stored):
    images, labels = stored["batch"].astype(np.float32) / 255, np.array([2, 0, 1])
    for name, (mixed, soft) in {
        "mixup": a.mixup_at(images, labels, 0.3, num_classes=3),
        "cutmix": a.cutmix_at(images, labels, (4, 6, 15, 24), num_classes=3),
    }.items():
        np.testing.assert_allclose(mixed, stored[f"{name}/images"], atol=1e-6)
        np.testing.assert_allclose(soft, stored[f"{name}/labels"], atol=1e-6)
