"""Means, standardization and whitening against closed forms, loops and scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.data import load_dataset, streaming
from jaxnets.data import preprocessing as pre
from jaxnets.errors import UnknownNameError


@pytest.fixture
def images():
    """Channels of very different mean and spread, neighbors correlated."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 4, 3, 3)).cumsum(axis=2)
    return np.clip(base * [5, 20, 40] + [20, 100, 180], 0, 255).astype(np.uint8)


@pytest.fixture
def vectors():
    """Full-rank correlated data, condition number of the covariance about 1e4."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(500, 12)) * np.geomspace(0.1, 10, 12) @ rng.normal(size=(12, 12)) + 3


@pytest.fixture(params=[2**23, 1000], ids=["one chunk", "many chunks"])
def chunked(request, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK_NUMBERS", request.param)


def covariance(x):
    return np.cov(np.asarray(x, np.float64).reshape(len(x), -1), rowvar=False, bias=True)


def test_mean_image(images, chunked, x64):
    fitted = pre.fit_mean_image(images)
    exact = [
        [[images[:, r, c, k].astype(int).sum() / 200 for k in range(3)] for c in range(3)]
        for r in range(4)
    ]
    np.testing.assert_allclose(fitted.mean, exact, rtol=1e-14)
    out = fitted.apply(images.astype(np.float64))
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-12)
    np.testing.assert_array_equal(out[3], images[3] - fitted.mean)


def test_channel_mean_and_std(images, chunked, x64):
    mean_only, both = pre.fit_channel_mean(images), pre.fit_channel_mean_std(images)
    pixels = images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean_only.mean, pixels.mean(0), rtol=1e-14)
    np.testing.assert_allclose(both.std, pixels.std(0), rtol=1e-13)
    out = both.apply(images.astype(np.float64))
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1, rtol=1e-12)
    np.testing.assert_allclose(mean_only.apply(images).std((0, 1, 2)), both.std, rtol=1e-6)


def test_standardized_in_float32(images):
    """The bar of the plan: mean 0 ± 1e-5, deviation 1 ± 1e-5 in the precision that training has."""
    out = pre.fit_channel_mean_std(images).apply(images)
    assert out.dtype == jnp.float32
    out = np.asarray(out, np.float64)
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1, atol=1e-5)


def test_a_constant_channel_is_only_centered(images):
    images[..., 1] = 77
    out = np.asarray(pre.fit_channel_mean_std(images).apply(images))
    assert np.all(out[..., 1] == 0) and np.all(np.isfinite(out))


def test_published_constants():
    white = pre.IMAGENET.apply(np.full((1, 1, 3), 255, np.uint8)).ravel()
    expected = [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(white, expected, rtol=1e-6)
    # Red, green, blue in; blue, green, red minus Caffe's means out.
    rgb = np.array([[[124, 119, 107]]], np.uint8)
    bgr = pre.CAFFE_BGR.apply(rgb)
    np.testing.assert_array_equal(np.asarray(bgr).ravel(), [107 - 104, 119 - 117, 124 - 123])
    np.testing.assert_array_equal(pre.CAFFE_BGR.inverse(bgr), rgb)
    unit = pre.fit_unit_range(np.zeros((1, 1, 1, 1), np.uint8))
    assert unit.apply(np.array([[[255]]], np.uint8)).item() == 1.0


def test_pca_whitened_covariance_is_the_identity(vectors, chunked, x64):
    fitted = pre.fit_pca_whitening(vectors, epsilon=0.0)
    out = np.asarray(fitted.apply(vectors))
    np.testing.assert_allclose(covariance(out), np.eye(12), atol=1e-10)
    np.testing.assert_allclose(out.mean(0), 0, atol=1e-10)
    np.testing.assert_allclose(fitted.inverse(out), vectors, atol=1e-10)


def test_pca_equals_scikit_learn(vectors, x64):
    from sklearn.decomposition import PCA

    for components in (12, 5):
        fitted = pre.fit_pca_whitening(vectors, epsilon=0.0, components=components)
        ours = np.asarray(fitted.apply(vectors))
        theirs = PCA(components, whiten=True, svd_solver="full").fit(vectors)
        expected = theirs.transform(vectors)
        # scikit-learn divides the covariance by n − 1 and chooses signs by its own rule.
        expected /= np.sqrt((len(vectors) - 1) / len(vectors))
        signs = np.sign((ours * expected).sum(0))
        np.testing.assert_allclose(ours, expected * signs, atol=1e-10)
        # What comes back is the projection onto the kept directions, signs or not.
        np.testing.assert_allclose(
            fitted.inverse(ours),
            theirs.inverse_transform(theirs.transform(vectors)),
            atol=1e-10,
        )


def test_zca_is_symmetric_whitens_and_inverts(vectors, chunked, x64):
    fitted = pre.fit_zca_whitening(vectors, epsilon=0.0)
    np.testing.assert_allclose(fitted.forward, fitted.forward.T, atol=1e-12)
    out = np.asarray(fitted.apply(vectors))
    np.testing.assert_allclose(covariance(out), np.eye(12), atol=1e-10)
    np.testing.assert_allclose(fitted.inverse(out), vectors, atol=1e-10)
    # The closed form: the inverse square root of the covariance, by another route than eigh.
    import scipy.linalg

    root = scipy.linalg.sqrtm(covariance(vectors))
    np.testing.assert_allclose(fitted.forward @ root, np.eye(12), atol=1e-9)


def test_zca_changes_the_data_least(vectors, x64):
    """All whitenings are ZCA followed by a rotation; none is closer to the (centered) data."""
    centered = vectors - vectors.mean(0)
    zca = np.asarray(pre.fit_zca_whitening(vectors, epsilon=0.0).apply(vectors))
    pca = np.asarray(pre.fit_pca_whitening(vectors, epsilon=0.0).apply(vectors))
    distance = np.square(zca - centered).sum()
    assert distance < np.square(pca - centered).sum()
    rng = np.random.default_rng(3)
    for scale in (1e-3, 0.1, 10.0):
        skew = scale * rng.normal(size=(12, 12))
        rotation, _ = np.linalg.qr(np.eye(12) + skew - skew.T)
        rotation *= np.sign(np.diag(rotation))
        assert distance < np.square(zca @ rotation - centered).sum()


def test_epsilon_damps_small_directions(vectors, x64):
    fitted = pre.fit_zca_whitening(vectors, epsilon=2.0)
    variances, directions = np.linalg.eigh(covariance(vectors))
    expected = directions @ np.diag(variances / (variances + 2.0)) @ directions.T
    np.testing.assert_allclose(covariance(fitted.apply(vectors)), expected, atol=1e-10)
    np.testing.assert_allclose(fitted.inverse(fitted.apply(vectors)), vectors, atol=1e-10)


def test_directions_without_variance(images):
    images[:, 0, 0] = 9
    with pytest.raises(ValueError, match=r"3 of 36 .*components=33"):
        pre.fit_pca_whitening(images, epsilon=0.0)
    with pytest.raises(ValueError, match="epsilon"):
        pre.fit_zca_whitening(images, epsilon=0.0)
    kept = pre.fit_pca_whitening(images, epsilon=0.0, components=33)
    out = kept.apply(images)
    assert out.shape == (200, 33)
    # float32 arithmetic on gray levels: variances right to 1e-3 even in the smallest direction.
    np.testing.assert_allclose(covariance(out), np.eye(33), atol=1e-3)
    # The directions left out have no variance, so nothing is lost.
    np.testing.assert_allclose(kept.inverse(out), images, atol=0.05)


def test_contrast_normalization_comes_first(images, x64):
    fitted = pre.fit_zca_whitening(images, epsilon=0.1, contrast=10.0)
    flat = images.reshape(200, -1).astype(np.float64)
    centered = flat - flat.mean(1, keepdims=True)
    expected = centered / np.sqrt(flat.var(1, keepdims=True) + 10)
    normalized = pre.normalize_contrast(images.astype(np.float64), 10.0)
    np.testing.assert_allclose(normalized.reshape(200, -1), expected, atol=1e-12)
    by_hand = pre.fit_zca_whitening(expected, epsilon=0.1).apply(expected)
    np.testing.assert_allclose(
        fitted.apply(images.astype(np.float64)).reshape(200, -1), by_hand, atol=1e-9
    )
    np.testing.assert_allclose(
        fitted.inverse(fitted.apply(images.astype(np.float64))), normalized, atol=1e-9
    )


def resemblance(whitened, images):
    """Mean correlation of images with what whitening made of them."""
    pairs = zip(np.asarray(whitened), images, strict=True)
    return np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])


def test_zca_images_stay_recognisable():
    """They resemble their originals; PCA-whitened ones do not."""
    images = load_dataset("digits").train.images
    options = {"epsilon": 0.1, "contrast": 10.0}
    zca = pre.fit_zca_whitening(images, **options).apply(images)
    pca = pre.fit_pca_whitening(images, **options).apply(images)
    # Measured 0.63: digits of 8×8 have no fine detail, so whitening takes more from them.
    assert resemblance(zca, images) > 0.6
    assert abs(resemblance(pca, images)) < 0.2


def test_zca_patches_of_photographs_stay_recognisable(cifar10):
    """Where ε = 0.1 comes from: 8×8 patches, contrast-normalized (Coates, Ng & Lee 2011)."""
    if cifar10 is None:
        pytest.skip("no photographs on this machine; the test above does it with digits")
    patches = np.asarray(cifar10.train.images[:, 12:20, 12:20])
    fitted = pre.fit_zca_whitening(patches, epsilon=0.1, contrast=10.0)
    others = np.asarray(cifar10.test.images[:500, 12:20, 12:20])
    assert resemblance(fitted.apply(others), others) >= 0.7


@pytest.mark.parametrize("name", [*pre.FITTERS])
def test_every_fit_works_in_jit_on_any_batch(name, images):
    options = {"pca": {"epsilon": 1.0}, "zca": {"epsilon": 1.0}}.get(name, {})
    fitted = pre.fit_preprocessing(name, images, **options)
    # As a constant, as an argument (a pytree), under vmap, for one image: always the same.
    eager = np.asarray(fitted.apply(images))
    np.testing.assert_allclose(jax.jit(fitted.apply)(images), eager, atol=2e-4)
    np.testing.assert_allclose(jax.jit(lambda f, x: f.apply(x))(fitted, images), eager, atol=2e-4)
    np.testing.assert_allclose(jax.vmap(fitted.apply)(images), eager, atol=2e-4)
    np.testing.assert_allclose(fitted.apply(images[0]), eager[0], atol=2e-4)
    # float32 in, whitening matrices up to 1/√1: back to gray levels within a thousandth of 255.
    np.testing.assert_allclose(fitted.inverse(eager), images, atol=0.25)
    assert fitted.apply(jnp.asarray(images, jnp.bfloat16)).dtype == jnp.float32


def test_memory_maps_are_read_in_chunks(tmp_path, monkeypatch):
    """A chunk is all that is ever read: far less than the set."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (20_000, 4, 4, 3), dtype=np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    monkeypatch.setattr(streaming, "CHUNK_NUMBERS", 48 * 100)
    sizes = [len(chunk) for chunk in streaming.chunks(images)]
    assert sizes == [100] * 200
    import tracemalloc

    tracemalloc.start()
    pre.fit_channel_mean_std(images)
    pre.fit_zca_whitening(images)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < images.size  # even one float copy would take eight times that


def test_mistakes_are_named(images):
    with pytest.raises(UnknownNameError, match="'zca'"):
        pre.fit_preprocessing("zcaa", images)
    with pytest.raises(ValueError, match="components is 99"):
        pre.fit_pca_whitening(images, components=99)
    with pytest.raises(ValueError, match="epsilon is -1"):
        pre.fit_zca_whitening(images, epsilon=-1)
    with pytest.raises(ValueError, match="shape"):
        pre.fit_zca_whitening(images).apply(images[:, :2])
    with pytest.raises(ValueError, match="empty"):
        pre.fit_mean_image(images[:0])
