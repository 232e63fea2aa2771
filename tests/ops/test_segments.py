"""Segments as boxes, and features pooled over them beside a NumPy reference."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.metrics import temporal_iou
from jaxnets.ops import boxes
from jaxnets.ops.segments import pool_segments, segments_to_boxes


def test_iou_of_segments_is_the_temporal_one():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 10, (2, 5, 1))
    a, b = np.concatenate((start, start + rng.uniform(0.5, 6, start.shape)), -1)
    wanted = np.array([temporal_iou(segment, b) for segment in a])
    found = boxes.iou(segments_to_boxes(jnp.asarray(a)), segments_to_boxes(jnp.asarray(b)))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_pooling_equals_interpolation_in_numpy():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 9, 3)).astype(np.float32)
    segments = np.float32([[[1.2, 6.7], [-4, 3]], [[8, 15], [2, 2.5]]])
    found = pool_segments(jnp.asarray(x), jnp.asarray(segments), 3, samples=2)
    for n in range(2):
        for r, (a, b) in enumerate(segments[n]):
            time = a + (b - a) * (np.arange(6) + 0.5) / 6
            value = np.stack([np.interp(time, np.arange(9) + 0.5, x[n, :, c]) for c in range(3)], 1)
            value[(time < 0) | (time > 9)] = 0
            np.testing.assert_allclose(found[n, r], value.reshape(3, 2, 3).max(1), atol=1e-5)


def test_wrong_shapes_are_told():
    with pytest.raises(ValueError, match="segments: expected"):
        pool_segments(jnp.zeros((2, 9, 3)), jnp.zeros((1, 4, 2)), 3)
