"""Geometric transforms move image, masks, boxes and keypoints together, as loops in float64 do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import augment as a

H, W = 12, 16
PAIRS = ((1, 2), (3, 4))


def random_examples(count, seed=0):
    """A batch of everything: three boxes, of which one is padding, and five keypoints each."""
    random = np.random.default_rng(seed)
    low = random.uniform(0, (W - 5, H - 5), (count, 3, 2))
    boxes = np.concatenate([low, low + random.uniform(1, 5, (count, 3, 2))], -1)
    boxes[:, 2] = 0
    points = random.uniform(0, (W, H), (count, 3, 5, 2))
    return {
        "image": random.integers(0, 256, (count, H, W, 3), dtype=np.uint8),
        "label": random.integers(0, 9, count),
        "boxes": boxes,
        "box_label": random.integers(0, 9, (count, 3)),
        "box_mask": np.tile(np.float32([1, 1, 0]), (count, 1)),
        "masks": random.integers(0, 5, (count, 3, H, W)),
        "keypoints": np.concatenate([points, random.integers(1, 3, (count, 3, 5, 1))], -1),
    }


def reference_pixels(picture, region, fill):
    """Every pixel of the result is the one in which its center lies: loops over (H, W)."""
    top, left, height, width, (rows, columns), mirrored = region
    out = np.full((rows, columns), fill, picture.dtype)
    for i in range(rows):
        for j in range(columns):
            y = int(np.floor(top + (i + 0.5) * height / rows))
            x = int(np.floor(left + (j + 0.5) * width / columns))
            if 0 <= y < picture.shape[0] and 0 <= x < picture.shape[1]:
                out[i, columns - 1 - j if mirrored else j] = picture[y, x]
    return out


def reference_point(x, y, region):
    top, left, height, width, (rows, columns), mirrored = region
    x, y = (x - left) / width * columns, (y - top) / height * rows
    return (columns - x if mirrored else x), y


def reference_box(box, region):
    """The corners, one by one, and whether anything is left."""
    rows, columns = region.size
    corners = [reference_point(x, y, region) for x in box[[0, 2]] for y in box[[1, 3]]]
    xs = [min(max(x, 0), columns) for x, _ in corners]
    ys = [min(max(y, 0), rows) for _, y in corners]
    left = max(xs) - min(xs) > 0 and max(ys) - min(ys) > 0
    return (np.array([min(xs), min(ys), max(xs), max(ys)]) if left else np.zeros(4)), left


def check_against_loops(example, moved, region, fill=0, pairs=()):
    """Compare all that belongs to one moved example with the loops."""
    for mask, out in zip(example["masks"], moved["masks"], strict=True):
        np.testing.assert_array_equal(out, reference_pixels(mask, region, fill))
    for m, box in enumerate(example["boxes"]):
        expected, left = reference_box(box, region)
        np.testing.assert_allclose(moved["boxes"][m], expected, rtol=1e-12, atol=1e-12)
        assert moved["box_mask"][m] == (example["box_mask"][m] if left else 0)
    partner = {k: k for k in range(5)}
    if region.mirrored:
        partner |= dict(pairs) | {right: left for left, right in pairs}
    for points, out in zip(example["keypoints"], moved["keypoints"], strict=True):
        for k, (x, y, visible) in enumerate(points):
            x, y = reference_point(x, y, region)
            there = 0 <= x <= region.size[1] and 0 <= y <= region.size[0]
            expected = [x, y, visible if there else 0]
            np.testing.assert_allclose(out[partner[k]], expected, rtol=1e-12, atol=1e-12)
    for name in ("label", "box_label"):
        np.testing.assert_array_equal(moved[name], example[name])


# Transform (example, numbers) → example; numbers, traced; the region that they make; mask fill.
CASES = {
    "flip": (
        lambda e, flipped: a.flip(e, flipped, pairs=PAIRS),
        [(True,), (False,)],
        lambda flipped: a.Region(0, 0, H, W, (H, W), flipped),
    ),
    "crop": (
        lambda e, top, left: a.crop(e, top, left, 3, mask_fill=7),
        [(0, 6), (5, 1), (3, 3)],
        lambda top, left: a.Region(top - 3, left - 3, H, W, (H, W)),
    ),
    "window": (
        lambda e, top, left: a.window(e, top, left, 6),
        [(0, 10), (4, 3), (6, 0)],
        lambda top, left: a.Region(top, left, 6, 6, (6, 6)),
    ),
    "translate": (
        lambda e, down, right: a.translate(e, down, right, 9, mask_fill=7),
        [(3, -2), (-5, 4), (0, 15)],
        lambda down, right: a.Region(-down, -right, H, W, (H, W)),
    ),
    "shrink": (
        lambda e, *part: a.resample(e, part, (5, 4), "cubic"),
        [(0, 0, 12, 16), (3, 2, 7, 9)],
        lambda *part: a.Region(*part, (5, 4)),
    ),
    "grow a part of fractions": (
        lambda e, *part: a.resample(e, part, (20, 30), isolated=False),
        [(0.5, 1.25, 7.375, 9.5), (4.25, 6.5, 7.5, 8.125)],
        lambda *part: a.Region(*part, (20, 30)),
    ),
    "resize_shorter": (
        lambda e, _: a.resize_shorter(e, 9),
        [(0,)],
        lambda _: a.Region(0, 0, H, W, (9, 12)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_everything_moves_as_the_loops_say(name, x64):
    transform, numbers, region_of = CASES[name]
    examples = random_examples(len(numbers))
    moved = jax.jit(jax.vmap(transform))(examples, *map(np.array, zip(*numbers, strict=True)))
    moved = jax.tree.map(np.asarray, moved)
    assert moved["boxes"].dtype == moved["keypoints"].dtype == np.float64
    assert moved["box_mask"].dtype == np.float32 and moved["masks"].dtype == np.int64
    fill = 7 if name in ("crop", "translate") else 0
    for i, given in enumerate(numbers):
        region = region_of(*given)
        example, out = (jax.tree.map(lambda x, i=i: x[i], tree) for tree in (examples, moved))
        assert out["image"].shape == (*region.size, 3)
        check_against_loops(example, out, region, fill, PAIRS)


TRANSFORMS = {
    "flip": a.random_flip,
    "crop": partial(a.random_crop, padding=6),
    "translate": partial(a.random_translate, limit=9),
    "window": partial(a.random_window, size=7),
    "resized crop": partial(a.random_resized_crop, size=(9, 11), method="nearest"),
    "scale crop": partial(a.random_scale_crop, size=10, shorter=(10, 24), method="nearest"),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_planted_rectangle_stays_in_its_box_and_mask(name):
    """The colored pixels of the result are the mask, and those whose centers lie in the box."""
    count, x1, y1, x2, y2 = 200, 9, 2, 14, 6
    image = np.zeros((H, W, 1), np.uint8)
    image[y1:y2, x1:x2] = 1
    example = {
        "image": image,
        "masks": image[None, ..., 0].astype(bool),
        "boxes": np.float32([[x1, y1, x2, y2]]),
        "box_mask": np.ones(1, bool),
        # The centers of two opposite corner pixels.
        "keypoints": np.float32([[[x1 + 0.5, y1 + 0.5, 2], [x2 - 0.5, y2 - 0.5, 2]]]),
    }
    move = jax.jit(jax.vmap(TRANSFORMS[name], (0, None)))
    moved = jax.tree.map(np.asarray, move(jax.random.split(jax.random.key(0), count), example))
    colored = moved["image"][..., 0] == 1
    np.testing.assert_array_equal(moved["masks"][:, 0], colored)
    rows, columns = colored.shape[1:]
    size_is_kept = name not in ("resized crop", "scale crop")
    gone = cut = 0
    for pixels, box, on, points in zip(
        colored,
        moved["boxes"][:, 0],
        moved["box_mask"][:, 0],
        moved["keypoints"][:, 0],
        strict=True,
    ):
        centers_x, centers_y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
        inside_x = (centers_x >= box[0] - 1e-4) & (centers_x < box[2] - 1e-4)
        inside_y = (centers_y >= box[1] - 1e-4) & (centers_y < box[3] - 1e-4)
        np.testing.assert_array_equal(pixels, inside_y[:, None] & inside_x)
        assert on == (box[2] > box[0] and box[3] > box[1])
        assert on or not box.any()
        gone += not on
        cut += 0 < pixels.sum() < 20 and len(pixels) == H
        for x, y, visible in points:
            assert visible == (2 if 0 <= x <= columns and 0 <= y <= rows else 0)
            if size_is_kept and 0 <= x < columns and 0 <= y < rows:
                assert pixels[int(y), int(x)]
    if name in ("window", "resized crop", "scale crop"):
        assert gone > 0
    if name in ("crop", "translate"):
        assert cut > 0


ALL = TRANSFORMS | {
    "cutout": partial(a.cutout, size=5),
    "color jitter": partial(a.color_jitter, hue=0.1),
    "color noise": a.random_color_noise,
    "googlenet": a.create_policy("googlenet", np.zeros((1, H, W, 3), np.uint8), cutout_size=4),
}


@pytest.mark.parametrize("name", ALL)
def test_images_are_the_same_with_and_without_the_rest(name):
    batch, key = random_examples(3), jax.random.key(3)
    prepare = jax.jit(a.per_example(ALL[name]))
    whole = prepare(key, batch)
    alone = prepare(key, batch["image"])
    np.testing.assert_array_equal(whole["image"], alone)
    few = prepare(key, {"image": batch["image"], "clip": np.stack([batch["image"]] * 2, 1)})
    np.testing.assert_array_equal(few["image"], alone)
    # Every frame of a clip is changed alike.
    np.testing.assert_array_equal(few["clip"], np.stack([alone] * 2, 1))


@pytest.mark.parametrize("name", ["cutout", "color jitter", "color noise"])
def test_what_moves_nothing_leaves_the_rest_alone(name):
    example = {entry: array[0] for entry, array in random_examples(1).items()}
    changed = ALL[name](jax.random.key(1), example)
    assert not np.array_equal(changed["image"], example["image"])
    assert all(changed[entry] is example[entry] for entry in example if entry != "image")


def test_devices_do_not_change_what_happens():
    policy = a.compose(partial(a.random_crop, padding=3), partial(a.random_flip, pairs=PAIRS))
    batch, key = random_examples(16), jax.random.key(6)
    expected = jax.jit(a.per_example(policy))(key, batch)

    @partial(jax.pmap, axis_name="batch", in_axes=(None, 0))
    def on_device(key, batch):
        count = len(batch["image"])
        ids = jax.lax.axis_index("batch") * count + jnp.arange(count)
        return a.per_example(policy)(key, batch, ids)

    for devices in (2, 8):
        shares = jax.tree.map(lambda x, n=devices: x.reshape(n, -1, *x.shape[1:]), batch)
        for entry, array in on_device(key, shares).items():
            together = array.reshape(expected[entry].shape)
            np.testing.assert_array_equal(together, expected[entry], err_msg=entry)


def test_an_image_without_objects():
    example = {
        "image": np.ones((H, W, 1), np.uint8),
        "boxes": np.zeros((0, 4), np.float32),
        "box_mask": np.zeros(0, np.float32),
        "masks": np.zeros((0, H, W), bool),
        "keypoints": np.zeros((0, 5, 3), np.float32),
    }
    for transform in TRANSFORMS.values():
        moved = jax.jit(transform)(jax.random.key(0), example)
        size = moved["image"].shape[:2]
        assert moved["boxes"].shape == (0, 4) and moved["box_mask"].shape == (0,)
        assert moved["masks"].shape == (0, *size) and moved["keypoints"].shape == (0, 5, 3)


def test_a_missing_box_mask_is_made_and_whole_numbers_become_floating():
    example = {"image": np.zeros((4, 8, 1)), "boxes": np.array([[0, 0, 2, 2], [5, 1, 8, 4]])}
    moved = a.window(example, 0, 0, 4)
    assert moved["box_mask"].tolist() == [1, 0] and moved["box_mask"].dtype == jnp.float32
    assert moved["boxes"].tolist() == [[0, 0, 2, 2], [0, 0, 0, 0]]
    assert moved["boxes"].dtype == jnp.float32


def test_masks_of_one_class_number_a_pixel():
    example = {"image": np.zeros((2, 3, 1)), "masks": np.arange(6).reshape(2, 3)}
    assert a.flip(example, True)["masks"].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert a.translate(example, 1, 0, mask_fill=255)["masks"].tolist() == [[255] * 3, [0, 1, 2]]


def test_keypoints_without_visibility_and_flipped_twice():
    points = np.random.default_rng(0).uniform(0, (W, H), (5, 2)).astype(np.float32)
    example = {"image": np.zeros((H, W, 1)), "keypoints": points}
    once = a.flip(example, True, pairs=PAIRS)
    assert once["keypoints"].shape == (5, 2)
    np.testing.assert_allclose(once["keypoints"][1], [W - points[2, 0], points[2, 1]])
    twice = a.flip(once, True, pairs=PAIRS)
    np.testing.assert_allclose(twice["keypoints"], points, atol=1e-5)


def test_chains_share_the_key_out():
    seen = []

    def prepare(name, key, batch, example_ids):
        seen.append((name, jax.random.key_data(key).tolist(), example_ids.tolist()))
        return [*batch, name]

    first, second = partial(prepare, "first"), partial(prepare, "second")
    key, ids = jax.random.key(4), jnp.arange(3) + 5
    assert a.chain() is None and a.chain(None, None) is None
    assert a.chain(None, first) is first
    assert a.chain(first, None, second)(key, [], ids) == ["first", "second"]
    keys = jax.random.key_data(jax.random.split(key, 2)).tolist()
    assert seen == [("first", keys[0], [5, 6, 7]), ("second", keys[1], [5, 6, 7])]


def test_a_function_of_images_becomes_a_transform():
    transform = a.on_image(lambda key, image: image + jax.random.uniform(key, image.shape))
    key, image = jax.random.key(0), jnp.zeros((2, 2, 1))
    expected = jax.random.uniform(key, (2, 2, 1))
    np.testing.assert_array_equal(transform(key, image), expected)
    changed = transform(key, {"clip": jnp.stack([image, image]), "label": 3})
    np.testing.assert_array_equal(changed["clip"], jnp.stack([expected, expected]))
    assert changed["label"] == 3 and "image" not in changed


def test_mixing_keeps_the_other_entries():
    batch = {"image": jnp.ones((2, 4, 4, 1)), "label": jnp.arange(2), "example_mask": jnp.ones(2)}
    for mix in (partial(a.mixup, alpha=1.0), a.cutmix):
        mixed = mix(jax.random.key(0), batch, jnp.arange(2), num_classes=2)
        assert mixed["example_mask"] is batch["example_mask"]
        assert set(mixed) == set(batch) and mixed["label"].shape == (2, 2)


@pytest.mark.parametrize("method", a.METHODS)
def test_a_part_of_fractions_is_made_of_the_pixels_that_it_covers(method):
    """Also where no pixel's center lies in it. Once NaN; of one value everywhere, it stays so."""
    image = np.zeros((6, 7, 1), np.float32)
    image[2:5, 1:4] = 5
    resample = jax.jit(lambda part: a.resample(image, part, (40, 30), method))
    for part in ((2.0, 1.0, 3.0, 3.0), (2.6, 1.7, 0.3, 0.2), (2.6, 1.2, 2.3, 2.8)):
        np.testing.assert_allclose(resample(part), 5, rtol=1e-6)


def test_ties_go_to_the_later_pixel_in_image_and_mask():
    """Two of three pixels, and centers on their borders: thirds are rounded, the choice is not."""
    for height, count in ((12, 18), (12, 6), (10, 5), (11, 33)):
        column = np.arange(1, height + 1, dtype=np.float32)[:, None, None]
        example = {"image": column, "masks": column[..., 0]}
        moved = jax.jit(
            lambda e, h=height, n=count: a.resample(e, (0, 0, h, 1), (n, 1), "nearest")
        )(example)
        exact = [(2 * i + 1) * height // (2 * count) + 1 for i in range(count)]
        assert moved["image"][:, 0, 0].tolist() == moved["masks"][:, 0].tolist() == exact
