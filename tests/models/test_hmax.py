"""HMAX: the paper's table, orientation, tolerance of shifts, templates, and what they are for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import LinearSVC

from jaxnets.models.hmax import (
    BANDS,
    complex_cells,
    gabor_filters,
    hmax,
    patch_responses,
    sample_patches,
    simple_cells,
)


def test_filters_are_those_of_the_table():
    """Sides from 7 to 37 in steps of 2; σ and λ grow with them, λ/σ = 1.25."""
    sizes = [size for band in BANDS for size in band.sizes]
    assert sizes == list(range(7, 38, 2)) and [band.grid for band in BANDS] == list(range(8, 23, 2))
    for band in BANDS:
        np.testing.assert_allclose(np.divide(band.wavelengths, band.sigmas), 1.25, rtol=0.03)
        for size, sigma in zip(band.sizes, band.sigmas, strict=True):
            # Serre's formula: σ = .0036 size² + .35 size + .18.
            assert sigma == pytest.approx(0.0036 * size**2 + 0.35 * size + 0.18, abs=0.17)
    g = gabor_filters(9, 3.6, 4.6)[:, :, 0].astype(float)
    np.testing.assert_allclose((g**2).sum((0, 1)), 1, rtol=1e-5)
    np.testing.assert_allclose(g.sum((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(g[..., 2], g[..., 0].T, atol=1e-6)  # a quarter turn
    # By the formula, up to what the normalization does: differences keep their ratios.
    x = np.array([0.0, 1, 2])
    raw = np.exp(-(x**2) / (2 * 3.6**2)) * np.cos(2 * np.pi * x / 4.6)
    middle = g[4, 4:7, 0]
    np.testing.assert_allclose(
        (middle[0] - middle[1]) / (middle[0] - middle[2]),
        (raw[0] - raw[1]) / (raw[0] - raw[2]),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="got 8; expected an odd number"):
        gabor_filters(8, 1.0, 2.0)


def test_simple_cells_are_products_over_norms():
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 20, 20)).astype(np.float32)
    maps = simple_cells(jnp.asarray(image), BANDS[:1])[0][0]
    kernel = gabor_filters(7, 2.8, 3.5)[:, :, 0].astype(float)
    for y, x in ((10, 9), (0, 3)):
        window = np.pad(image[0].astype(float), 3)[y : y + 7, x : x + 7]
        window = window * (kernel != 0).any(-1)
        expected = np.abs((kernel * window[..., None]).sum((0, 1))) / np.linalg.norm(window)
        np.testing.assert_allclose(maps[0, y, x], expected, rtol=1e-4, atol=1e-5)
    assert maps.max() <= 1.0001
    contrast = simple_cells(7 * jnp.asarray(image), BANDS[:1])[0][0]
    np.testing.assert_allclose(contrast, maps, atol=1e-4)


def grating(angle, shift=0.0, side=48, wavelength=3.5):
    y, x = np.mgrid[:side, :side].astype(float)
    turned = x * np.cos(angle) + y * np.sin(angle) + shift
    return np.cos(2 * np.pi * turned / wavelength).astype(np.float32)


def test_cells_prefer_their_orientation_and_forgive_shifts():
    images = np.stack([grating(np.pi * k / 4) for k in range(4)])
    simple = simple_cells(jnp.asarray(images), BANDS[:1])
    responses = np.asarray(simple[0][0])[:, 24, 24]
    assert (responses.argmax(1) == np.arange(4)).all()
    # The orthogonal filter hears a fifth of it at most.
    assert (responses[np.arange(4), (np.arange(4) + 2) % 4] < 0.2 * responses.max(1)).all()

    shifted = np.stack([grating(0.0, shift) for shift in np.arange(0, 3.5, 0.25)])
    simple = simple_cells(jnp.asarray(shifted), BANDS[:1])
    complex_ = complex_cells(simple, BANDS[:1])[0]
    at_s1 = np.asarray(simple[0][0])[:, 24, 24, 0]
    at_c1 = np.asarray(complex_)[:, 5, 5, 0]
    assert np.ptp(at_s1) > 0.5 * at_s1.max()  # the phase decides
    assert np.ptp(at_c1) < 0.1 * at_c1.max()


def test_a_patch_is_found_where_it_was_cut():
    rng = np.random.default_rng(0)
    maps = [jnp.asarray(rng.uniform(size=(2, n, n, 4)).astype(np.float32)) for n in (9, 7)]
    patches = sample_patches(jax.random.key(0), maps[0][:1], 3, sizes=(4, 6, 20))
    assert [p.shape for p in patches] == [(3, 4, 4, 4), (3, 6, 6, 4)]
    found = np.asarray(patch_responses(maps, patches, sharpness=2.0))
    np.testing.assert_allclose(found[0], 1, atol=1e-3)
    # The other image's by loops, in float64.
    for column, patch in enumerate([p for group in patches for p in np.asarray(group, float)]):
        n, best = len(patch), np.inf
        for x in maps:
            x = np.asarray(x[1], float)
            for i in range(len(x) - n + 1):
                for j in range(len(x) - n + 1):
                    best = min(best, ((x[i : i + n, j : j + n] - patch) ** 2).sum())
        np.testing.assert_allclose(found[1, column], np.exp(-2 * (4 / n) ** 2 * best), rtol=1e-3)
    with pytest.raises(ValueError, match="got 9×9; expected at least 20 cells"):
        sample_patches(jax.random.key(0), maps[0], 3, sizes=(20,))


def letters(rng, count, side=64):
    """An L, a T or a plus of strokes, anywhere, dark on bright or bright on dark, with noise."""
    images, labels = np.zeros((count, side, side), np.float32), rng.integers(0, 3, count)
    for image, label in zip(images, labels, strict=True):
        size = int(rng.integers(20, 28))
        top, left = rng.integers(2, side - size - 4, 2)
        stroke, middle = 4, size // 2
        row = {0: size - stroke, 1: 0, 2: middle - 2}[int(label)]
        column = {0: 0, 1: middle - 2, 2: middle - 2}[int(label)]
        image[top + row : top + row + stroke, left : left + size] = 1
        image[top : top + size, left + column : left + column + stroke] = 1
        image *= rng.choice([-1, 1]) * rng.uniform(0.5, 1)
        image += rng.normal(0, 0.1, image.shape)
    return images, labels


@pytest.mark.slow
def test_a_linear_classifier_reads_c2_better_than_pixels():
    rng = np.random.default_rng(0)
    (seen, known), (new, truth) = letters(rng, 150), letters(rng, 150)
    bands = BANDS[:4]
    patches = sample_patches(
        jax.random.key(0), complex_cells(simple_cells(jnp.asarray(seen), bands), bands)[1], 60,
        sizes=(4, 8),
    )  # fmt: skip
    run = jax.jit(lambda x: hmax(x, patches, bands=bands))
    scores = {}
    for name, features in (
        ("c2", [np.concatenate([run(x[i : i + 50]) for i in (0, 50, 100)]) for x in (seen, new)]),
        ("pixels", [x.reshape(len(x), -1) for x in (seen, new)]),
    ):
        mean, std = features[0].mean(0), features[0].std(0) + 1e-6
        model = LinearSVC(C=0.01, max_iter=5000).fit((features[0] - mean) / std, known)
        scores[name] = model.score((features[1] - mean) / std, truth)
    assert scores["c2"] > scores["pixels"] + 0.2 and scores["c2"] > 0.8, scores
