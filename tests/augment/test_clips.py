"""Transforms of clips: all frames alike, in time a run of frames."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.augment import on_clip, per_example, random_crop, random_flip, random_time_window

CLIP = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)


def test_every_frame_gets_the_crop_and_flip_of_the_first():
    for transform in (random_crop, partial(random_flip, probability=0.5)):
        for seed in range(4):
            key = jax.random.key(seed)
            moved = on_clip(transform)(key, {"clip": CLIP, "label": 3})
            for before, after in zip(CLIP, moved["clip"], strict=True):
                np.testing.assert_array_equal(after, transform(key, jnp.asarray(before)))
            assert moved["label"] == 3


def test_clips_of_a_batch_differ():
    prepare = per_example(on_clip(random_crop))
    batch = {"clip": np.stack([CLIP] * 6)}
    moved = np.asarray(prepare(jax.random.key(0), batch, jnp.arange(6))["clip"])
    assert len({m.tobytes() for m in moved}) > 1


def test_windows_in_time_begin_everywhere():
    starts = set()
    for seed in range(30):
        part = random_time_window(jax.random.key(seed), CLIP, 2)
        starts |= {s for s in range(3) if np.array_equal(part, CLIP[s : s + 2])}
    assert starts == {0, 1, 2}
    with pytest.raises(ValueError, match="frames"):
        random_time_window(jax.random.key(0), CLIP, 5)
    with pytest.raises(ValueError, match=r"clip: expected \(T, H, W, C\)"):
        on_clip(random_flip)(jax.random.key(0), CLIP[0])
