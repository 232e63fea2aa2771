"""The laws of the random transforms: what is drawn, how often, and what it may do to an image."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxnets import augment as a

# Keys are fixed, so these tests either always pass or never; a true law is refused once in 1,000.
LEVEL = 1e-3


def keys(count, seed=0):
    return jax.random.split(jax.random.key(seed), count)


def chi_square(counts, expected=None):
    return stats.chisquare(counts, expected).pvalue


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(3).integers(0, 256, (20, 24, 3), dtype=np.uint8)


def test_cutout_hides_what_its_law_says():
    """Against all equally likely centers, one by one: how often is so much hidden?"""
    height, width, size = 12, 10, 5
    blank = jnp.ones((height, width, 1))
    hidden = jax.jit(jax.vmap(lambda key: (1 - a.cutout(key, blank, size)).astype(int)))(keys(6000))
    hidden = np.asarray(hidden)[..., 0]
    possible = []
    for row, column in itertools.product(range(height), range(width)):
        tall = [r for r in range(row - 2, row + 3) if 0 <= r < height]
        wide = [c for c in range(column - 2, column + 3) if 0 <= c < width]
        possible.append(len(tall) * len(wide))
    areas, seen = np.unique(hidden.sum((1, 2)), return_counts=True)
    expected_areas, ways = np.unique(possible, return_counts=True)
    np.testing.assert_array_equal(areas, expected_areas)
    assert chi_square(seen, 6000 * ways / ways.sum()) > LEVEL
    # The kept area in closed form: Σ over centers of the covered length, by axis.
    covered = [np.mean([min(n, c + 3) - max(0, c - 2) for c in range(n)]) for n in (height, width)]
    spread = np.std(possible) / np.sqrt(6000)
    assert abs(hidden.sum((1, 2)).mean() - covered[0] * covered[1]) < 4 * spread


def test_cutout_fills_with_what_is_given(image):
    out = np.asarray(a.cutout(jax.random.key(0), image, 6, fill=np.array([1.0, 2.0, 3.0])))
    assert out.dtype == np.uint8
    changed = (out != image).any(-1)
    assert 9 <= changed.sum() <= 36
    assert {tuple(pixel) for pixel in out[changed]} == {(1, 2, 3)}


@jax.jit
@partial(jax.vmap, in_axes=(0, None))
def mixing_weights(key, alpha):
    batch = {"image": jnp.zeros((2, 1, 1, 1)), "label": jnp.array([0, 1])}
    return a.mixup(key, batch, alpha=alpha, num_classes=2)["label"][0, 0]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_mixup_weights_are_beta(alpha):
    weights = np.asarray(mixing_weights(keys(4000), alpha), np.float64)
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(weights.mean() - 0.5) < 4 * np.sqrt(variance / 4000)
    assert abs(weights.var() - variance) < 0.05 * variance
    assert stats.kstest(weights.clip(1e-9, 1 - 1e-9), stats.beta(alpha, alpha).cdf).pvalue > LEVEL


def test_cutmix_labels_are_areas():
    """Image i is filled with i, so the pasted pixels can be counted."""
    images = jnp.arange(3.0).reshape(3, 1, 1, 1) * jnp.ones((3, 16, 12, 1))
    batch = {"image": images, "label": jnp.arange(3)}
    mixing = jax.jit(jax.vmap(lambda key: a.cutmix(key, batch, num_classes=3)))(keys(40))
    for mixed, soft in zip(np.asarray(mixing["image"]), np.asarray(mixing["label"]), strict=True):
        for i, previous in enumerate((2, 0, 1)):
            share = np.mean(mixed[i] == previous)
            assert np.mean(mixed[i] == i) + share == 1
            np.testing.assert_allclose(soft[i, previous], share, atol=1e-6)
            np.testing.assert_allclose(soft[i, i], 1 - share, atol=1e-6)


@jax.jit
@partial(jax.vmap, in_axes=(0, None, None))
def pasted_areas(key, alpha, images):
    """How many pixels of image 0, all ones, come into image 1; α is traced: one compilation."""
    batch = {"image": images, "label": jnp.array([0, 1])}
    return a.cutmix(key, batch, alpha=alpha, num_classes=2)["image"][1].sum().astype(int)


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_cutmix_areas_are_those_of_clipped_boxes(alpha):
    """Against all centers and all half sides: how often are so many pixels pasted?

    The box's share of the sides is s = √(1−λ). Its half height ⌊sH/2⌋ is constant between the
    numbers 2k/H, its half width between 2k/W, and s < x has the probability that 1−λ < x².
    """
    height, width, count = 12, 10, 6000
    ends = np.unique(
        [*(np.arange(0, height + 1, 2) / height), *(np.arange(0, width + 1, 2) / width)]
    )
    chances = np.zeros(height * width + 1)
    for low, high in itertools.pairwise(ends):
        half = [int((low + high) / 4 * n) for n in (height, width)]
        tall, wide = (
            [sum(0 <= i < n for i in range(center - h, center + h)) for center in range(n)]
            for n, h in zip((height, width), half, strict=True)
        )
        areas, ways = np.unique(np.multiply.outer(tall, wide), return_counts=True)
        probability = np.diff(stats.beta(alpha, alpha).cdf([low**2, high**2]))[0]
        chances[areas] += probability * ways / (height * width)
    assert chances.sum() == pytest.approx(1)

    # Image 1 is blank, so what it gets of image 0 can be counted.
    images = jnp.stack([jnp.ones((height, width, 1)), jnp.zeros((height, width, 1))])

    drawn = np.asarray(pasted_areas(keys(count), alpha, images))
    seen = np.bincount(drawn, minlength=len(chances))
    assert seen[chances == 0].sum() == 0
    # Neighboring areas are counted together, about 20 expected ones each time.
    bins = (np.cumsum(count * chances) // 20).astype(int).clip(max=int(count // 20) - 1)
    seen, expected = (np.bincount(bins, weights) for weights in (seen, count * chances))
    filled = expected > 0
    assert filled.sum() > 20
    assert chi_square(seen[filled], expected[filled]) > LEVEL


def numpy_part(random, height, width):
    """Area and proportions by the loop that torchvision runs, in NumPy."""
    for _ in range(10):
        target = height * width * random.uniform(0.08, 1)
        ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = round(np.sqrt(target * ratio)), round(np.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            return h, w
    return None


def parts(height, width, count, **options):
    draw = jax.jit(jax.vmap(lambda key: a.random_part(key, height, width, **options)))
    return np.stack(draw(keys(count)), 1)


def test_parts_are_uniform_in_area_and_log_uniform_in_proportions():
    # At most half of the area: every draw fits in, so nothing is drawn again.
    drawn = parts(1000, 1000, 4000, area=(0.08, 0.5))
    share = drawn[:, 2] * drawn[:, 3] / 1e6
    assert stats.kstest(share, stats.uniform(0.08, 0.42).cdf).pvalue > LEVEL
    log_ratio = np.log(drawn[:, 3] / drawn[:, 2])
    low, high = np.log(3 / 4), np.log(4 / 3)
    assert stats.kstest(log_ratio, stats.uniform(low, high - low).cdf).pvalue > LEVEL
    place = drawn[:, 0] / (1000 - drawn[:, 2])
    assert stats.kstest(place, "uniform").pvalue > LEVEL


def test_parts_follow_the_loop_where_draws_are_refused():
    drawn = parts(200, 300, 4000)
    assert (drawn >= 0).all()
    assert (drawn[:, 0] + drawn[:, 2] <= 200).all() and (drawn[:, 1] + drawn[:, 3] <= 300).all()
    random = np.random.default_rng(0)
    loop = np.array([numpy_part(random, 200, 300) for _ in range(4000)])
    for ours, theirs in (
        (drawn[:, 2] * drawn[:, 3], loop[:, 0] * loop[:, 1]),
        (drawn[:, 3] / drawn[:, 2], loop[:, 1] / loop[:, 0]),
    ):
        assert stats.ks_2samp(ours, theirs).pvalue > LEVEL


@pytest.mark.parametrize(
    "shape, expected", [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10))]
)
def test_where_nothing_fits_the_largest_center_is_taken(shape, expected):
    drawn = parts(*shape, 20, area=(0.9, 1.0))
    np.testing.assert_array_equal(drawn, np.tile(expected, (20, 1)))


def test_four_methods_equally_often(image):
    methods = np.asarray(jax.vmap(a.random_method)(keys(4000)))
    assert chi_square(np.bincount(methods, minlength=4)) > LEVEL
    # And the image shows it: every draw is the drawn part by one of the four, all of them occur.
    seen = set()

    @jax.jit
    @jax.vmap
    def draw(key):
        part = a.random_part(jax.random.split(key)[0], 20, 24)
        options = jnp.stack([a.resample(image, part, (9, 9), method) for method in a.METHODS])
        return a.random_resized_crop(key, image, 9), options

    for out, options in zip(*map(np.asarray, draw(keys(12, seed=2))), strict=True):
        seen |= {i for i, option in enumerate(options) if np.array_equal(option, out)}
        assert any(np.array_equal(option, out) for option in options)
    assert seen == {0, 1, 2, 3}


def test_alexnet_has_2048_crops():
    """Each pixel's number says where a crop begins, the next one whether it is mirrored."""
    numbered = jnp.arange(40 * 40, dtype=jnp.int32).reshape(40, 40, 1)

    def corner(key):
        crop_key, flip_key = jax.random.split(key)
        out = a.random_flip(flip_key, a.random_window(crop_key, numbered, 8, inclusive=False))
        return out[0, :2, 0]

    corners = np.asarray(jax.jit(jax.vmap(corner))(keys(40_000)))
    assert len(np.unique(corners, axis=0)) == 32**2 * 2 == 2048
    inclusive = jax.vmap(lambda key: a.random_window(key, numbered, 8)[0, 0, 0])(keys(20_000))
    assert len(np.unique(inclusive)) == 33**2


def test_area_is_the_mean_of_boxes(image):
    resample = jax.jit(a.resample, static_argnums=(2, 3))
    part = resample(image.astype(np.float32), (2, 3, 18, 20), (6, 4), "area")
    boxes = image[2:20, 3:23].astype(np.float64).reshape(6, 3, 4, 5, 3).mean((1, 3))
    np.testing.assert_allclose(part, boxes, rtol=1e-6)
    # 20 → 8 pixels: two and a half a footprint. The mean of all is kept.
    uneven = resample(image.astype(np.float32), (0, 0, 20, 20), (8, 8), "area")
    first = (image[:2, 0].sum(0, dtype=float) + 0.5 * image[2, 0]) / 2.5
    row = resample(image[:, :1].astype(np.float32), (0, 0, 20, 1), (8, 1), "area")
    np.testing.assert_allclose(row[0, 0], first, rtol=1e-6)
    np.testing.assert_allclose(uneven.mean((0, 1)), image[:, :20].mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("method, name", [("bilinear", "linear"), ("cubic", "cubic")])
def test_cut_after_resizing_equals_jax_image(method, name, image):
    for size in ((13, 15), (50, 60)):
        whole = jax.image.resize(image.astype(np.float32), (*size, 3), name)
        down, across = 20 / size[0], 24 / size[1]
        part = (3 * down, 2 * across, 9 * down, 9 * across)
        cut = a.resample(image.astype(np.float32), part, (9, 9), method, isolated=False)
        np.testing.assert_allclose(cut, whole[3:12, 2:11], atol=2e-3)


def test_scale_crops_draw_every_scale():
    """On a ramp, the slope of a crop tells to what side the 20 columns were resized."""
    ramp = jnp.broadcast_to(jnp.arange(20.0)[None, :, None], (20, 20, 1))

    def side(key):
        out = a.random_scale_crop(key, ramp, 30, (40, 48))
        return 20 / (out[15, 16, 0] - out[15, 15, 0])

    sides = np.round(np.asarray(jax.jit(jax.vmap(side))(keys(1800)))).astype(int)
    values, counts = np.unique(sides, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(40, 49))
    assert chi_square(counts) > LEVEL


def test_color_noise_is_one_constant_a_channel():
    colors = a.IMAGENET_COLORS
    blank = jnp.zeros((4, 5, 3))
    shifts = np.asarray(jax.jit(jax.vmap(lambda key: a.random_color_noise(key, blank)))(keys(5000)))
    assert (shifts == shifts[:, :1, :1]).all()
    shifts = shifts[:, 0, 0].astype(np.float64)
    vectors, values = colors.eigenvectors, colors.eigenvalues
    expected = 0.01 * (vectors * values**2) @ vectors.T
    np.testing.assert_allclose(np.cov(shifts.T), expected, atol=0.06 * np.abs(expected).max())
    assert (np.abs(shifts.mean(0)) < 4 * np.sqrt(np.diag(expected) / 5000)).all()
    # The published vectors are orthonormal to the digits printed.
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=2e-4)


def test_colors_are_fitted_to_the_covariance(image):
    images = np.stack([image, image[::-1] // 2])
    pixels = images.reshape(-1, 3) / 255
    fitted = a.fit_color_pca(images)
    rebuilt = (fitted.eigenvectors * fitted.eigenvalues) @ fitted.eigenvectors.T
    np.testing.assert_allclose(rebuilt, np.cov(pixels.T, bias=True), atol=1e-12)
    assert (np.diff(fitted.eigenvalues) <= 0).all()


def test_jitter_in_every_order(image):
    """Every result is one of the orders of the four changes; every order can be asked for."""
    floating = image[:4, :4].astype(np.float32) / 255
    amounts = jnp.array([1.3, 0.6, 1.4, 0.1])
    changes = [a.adjust_brightness, a.adjust_contrast, a.adjust_saturation, a.adjust_hue]
    adjust = jax.jit(a.adjust_colors)
    results = []
    for order in itertools.permutations(range(4)):
        expected = floating
        for i in order:
            expected = changes[i](expected, float(amounts[i]))
        results.append(adjust(floating, amounts, jnp.array(order)))
        np.testing.assert_allclose(results[-1], expected, atol=2e-6)
    assert len(np.unique(np.stack(results).round(4), axis=0)) > 12
    assert a.color_jitter(jax.random.key(0), image, 0, 0, 0, 0) is image


def test_jitter_draws_uniform_factors():
    gray = jnp.full((1, 1, 3), 0.25)
    drawn = jax.vmap(lambda key: a.color_jitter(key, gray, 0.4, 0, 0)[0, 0, 0])(keys(3000))
    assert stats.kstest(np.asarray(drawn) / 0.25, stats.uniform(0.6, 0.8).cdf).pvalue > LEVEL


def test_translations_are_uniform():
    point = jnp.zeros((9, 9, 1)).at[4, 4].set(1)
    moved = jax.jit(jax.vmap(lambda key: a.random_translate(key, point, 2)))(keys(5000))
    counts = np.asarray(moved.sum(0))[2:7, 2:7, 0]
    assert counts.sum() == 5000 and chi_square(counts.ravel()) > LEVEL


def one(image, *labels):
    """A batch of one image."""
    return {"image": image[None], "label": jnp.array(labels)}


BAD = {
    "probability": lambda x, k: a.random_flip(k, x, 1.5),
    "size: got 30": lambda x, k: a.random_window(k, x, 30),
    "limit": lambda x, k: a.random_translate(k, x, 0),
    "image: got shape": lambda x, k: a.cutout(k, x[None], 3),
    "size: got 0": lambda x, k: a.cutout(k, x, 0),
    "factor": lambda x, k: a.adjust_brightness(x, -1.0),
    "turn": lambda x, k: a.adjust_hue(x, 0.7),
    "hue": lambda x, k: a.color_jitter(k, x, hue=0.6),
    "contrast": lambda x, k: a.color_jitter(k, x, contrast=-0.1),
    r"expected one image \(H, W, 3\)": lambda x, k: a.color_jitter(k, x[..., :1]),
    "got dtype int32": lambda x, k: a.adjust_contrast(x.astype(np.int32), 1.0),
    "expected uint8": lambda x, k: a.resample(x.astype(bool), (0, 0, 4, 4), (2, 2)),
    "method": lambda x, k: a.resample(x, (0, 0, 4, 4), (2, 2), "lanczos"),
    "part": lambda x, k: a.resample(x, (10, 0, 11, 4), (2, 2)),
    r"area\[1\]": lambda x, k: a.random_resized_crop(k, x, 4, area=(0.5, 1.2)),
    r"ratio\[1\]": lambda x, k: a.random_resized_crop(k, x, 4, ratio=(2.0, 0.5)),
    "from 1 to the image's 40": lambda x, k: a.random_scale_crop(k, x, 50, (40, 60)),
    "std": lambda x, k: a.random_color_noise(k, x, std=-1.0),
    "alpha": lambda x, k: a.mixup(k, one(x, 0), alpha=0.0, num_classes=2),
    "labels: got 2": lambda x, k: a.mixup(k, one(x, 2), alpha=1.0, num_classes=2),
    "num_classes": lambda x, k: a.mixup(k, one(x, 1), alpha=1.0),
    "one for each of 1 images": lambda x, k: a.cutmix(k, one(x, 0, 1), num_classes=2),
    r"labels: got float32\[1\]": lambda x, k: a.cutmix(k, one(x, 1.0), num_classes=2),
    "mixup expects a dict with image and label": lambda x, k: a.mixup(k, {"image": x}, alpha=1.0),
    "got boxes, masks, which cutmix cannot combine": lambda x, k: a.cutmix(
        k, one(x, 0) | {"boxes": jnp.zeros((1, 2, 4)), "masks": jnp.zeros((1, 20, 24))}
    ),
    "got masks, which mixup": lambda x, k: a.mixup(k, one(x, 0) | {"masks": x[None]}, alpha=1.0),
    "expected image or clip": lambda x, k: a.random_flip(k, {"images": x}),
    "masks: got shape": lambda x, k: a.flip({"image": x, "masks": x}, True),
    "boxes: got shape": lambda x, k: a.flip({"image": x, "boxes": jnp.zeros((2, 5))}, True),
    "keypoints: got shape": lambda x, k: a.flip({"image": x, "keypoints": jnp.ones(3)}, True),
    "expected different numbers below 2": lambda x, k: a.flip(
        {"image": x, "keypoints": jnp.zeros((2, 3))}, True, pairs=((0, 2),)
    ),
    r"pairs: got \(\(0, 1\), \(1, 0\)\)": lambda x, k: a.flip(
        {"image": x, "keypoints": jnp.zeros((2, 3))}, True, pairs=((0, 1), (1, 0))
    ),
    "unknown augmentation 'crop_flp'": lambda x, k: a.create_policy("crop_flp", x[None]),
}


@pytest.mark.parametrize("message", BAD)
def test_mistakes_are_named(message, image):
    with pytest.raises(ValueError, match=message):
        BAD[message](image, jax.random.key(0))


def test_a_label_out_of_range_makes_nan_under_jit(image):
    mixing = jax.jit(lambda labels: a.mixup_at(image[None], labels, 0.5, num_classes=3)[1])
    assert np.isnan(mixing(jnp.array([3]))).all()
    assert not np.isnan(mixing(jnp.array([2]))).any()


@pytest.mark.parametrize("name", a.list_policies())
def test_policies_under_jit(name, image):
    images = np.stack([image, image[::-1], 255 - image])
    policy = a.create_policy(name, images, cutout_size=8)
    augment = jax.jit(a.per_example(policy))
    out = np.asarray(augment(jax.random.key(0), images, jnp.arange(3)))
    assert out.dtype == np.uint8 and out.shape == images.shape
    assert not np.array_equal(out, images)
    np.testing.assert_array_equal(augment(jax.random.key(0), images, jnp.arange(3)), out)
    # An example's share of randomness follows its number, not its place.
    shifted = augment(jax.random.key(0), images[::-1], jnp.array([2, 1, 0]))
    np.testing.assert_array_equal(shifted[::-1], out)
    if name == "none":
        assert a.create_policy(name, images) is None
    if name in ("crop", "crop_flip"):
        options = {"padding": 2, "flips": name == "crop_flip"}
        plain = a.per_example(a.create_policy(name, images))
        both = jax.jit(lambda *given: (plain(*given), a.augment_batch(*given, **options)))
        np.testing.assert_array_equal(*both(jax.random.key(0), images))


# Whatever takes white for 1 where nobody says otherwise.
COLORS = {
    "brightness": lambda x, **o: a.adjust_brightness(x, 0.5, **o),
    "contrast": lambda x, **o: a.adjust_contrast(x, 0.5, **o),
    "saturation": lambda x, **o: a.adjust_saturation(x, 0.5, **o),
    "hue": lambda x, **o: a.adjust_hue(x, 0.2, **o),
    "jitter": lambda x, **o: a.color_jitter(jax.random.key(0), x, **o),
    "noise": lambda x, **o: a.add_color_noise(x, jnp.ones(3), **o),
}


@pytest.mark.parametrize("name", COLORS)
def test_floating_images_of_another_range_are_not_taken_for_white(name, image):
    change, gray_levels = COLORS[name], image.astype(np.float32)
    with pytest.raises(ValueError, match="Give white=255"):
        change(gray_levels)
    # Inside jit values are not known: NaN, which no training takes for an image.
    assert np.isnan(jax.jit(change)(gray_levels)).all()
    assert np.isnan(jax.jit(change)((gray_levels - 128) / 60)).all()  # normalized
    expected = 255 * np.asarray(jax.jit(change)(gray_levels / 255))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(change(gray_levels, white=255), expected, atol=0.01)


def test_policies_and_fits_refuse_them_too(image):
    images = np.stack([image, image]).astype(np.float32)
    for name in ("alexnet", "googlenet"):
        with pytest.raises(ValueError, match="expected 0 … 1"):
            a.create_policy(name, images)
        a.create_policy(name, images / 255)
    fitted = a.fit_color_pca(images, white=255)
    expected = a.fit_color_pca(np.stack([image, image]))
    np.testing.assert_allclose(fitted.eigenvalues, expected.eigenvalues, rtol=1e-6)
