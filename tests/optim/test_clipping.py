"""Clipping: what it bounds, what it leaves alone (its equality with PyTorch is in test_torch)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import optim

GRADS = {"a": jnp.array([3.0, -0.1]), "b": jnp.array([[4.0, 0.0]])}
SMALL = jax.tree.map(lambda g: g * 1e-3, GRADS)


def clipped(rule, grads):
    return rule.update(grads, rule.init(grads))[0]


@pytest.mark.parametrize(
    "rule",
    [optim.clip_by_value(0.5), optim.clip_by_leaf_norm(0.5), optim.clip_by_global_norm(0.5)],
)
def test_small_gradients_pass_untouched(rule):
    found = clipped(rule, SMALL)
    assert all((found[k] == SMALL[k]).all() for k in SMALL)


def test_value():
    found = clipped(optim.clip_by_value(0.5), GRADS)
    np.testing.assert_array_equal(found["a"], np.float32([0.5, -0.1]))
    np.testing.assert_array_equal(found["b"], [[0.5, 0.0]])


def test_leaf_norm_bounds_each_leaf_and_keeps_its_direction():
    found = clipped(optim.clip_by_leaf_norm(0.5), GRADS)
    for k in GRADS:
        # PyTorch's 1e-6 beside the norm keeps it a little below the limit.
        assert float(jnp.linalg.norm(found[k])) == pytest.approx(0.5, rel=1e-6)
        ratio = found[k][GRADS[k] != 0] / GRADS[k][GRADS[k] != 0]
        assert float(jnp.ptp(ratio)) < 1e-6


def test_global_norm_bounds_the_whole_and_keeps_its_direction():
    found = clipped(optim.clip_by_global_norm(0.5), GRADS)
    assert float(optim.global_norm(found)) == pytest.approx(0.5, rel=1e-6)
    scale = 0.5 / np.sqrt(25.01)
    np.testing.assert_allclose(found["b"], scale * GRADS["b"], rtol=1e-6)


def test_norm_of_half_precision_does_not_overflow():
    """300² is beyond float16's 65504."""
    grads = jnp.full(4, 300.0, jnp.float16)
    assert float(optim.global_norm(grads)) == 600.0
    found = clipped(optim.clip_by_global_norm(1.0), grads)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, 0.5, rtol=1e-5)


@pytest.mark.parametrize("size", [1e20, 3e38, 1e-25])
def test_norms_neither_overflow_nor_vanish(size):
    """In float32 the squares of these are infinite or zero; the norm of the second is infinite."""
    grads = {"a": jnp.full(3, size, jnp.float32), "b": jnp.float32(size)}
    if size < 1e38:
        assert float(optim.global_norm(grads)) == pytest.approx(2 * size, rel=1e-6)
    for clip in (optim.clip_by_global_norm, optim.clip_by_leaf_norm):
        found = clipped(clip(1.0), grads)
        whole = 1 if clip is optim.clip_by_global_norm else np.sqrt(2)
        expected = min(whole, 2 * size)
        length = np.sqrt(sum(np.sum(np.float64(g) ** 2) for g in found.values()))
        assert length == pytest.approx(expected, rel=1e-5)
    huge = clipped(optim.clip_by_global_norm(3e20), {"a": jnp.full(4, 1e20)})
    np.testing.assert_allclose(huge["a"], 1e20, rtol=1e-6)  # its norm, 2e20, is allowed


def test_what_is_not_finite_stays_visible():
    found = clipped(optim.clip_by_global_norm(1.0), {"a": jnp.array([jnp.nan]), "b": jnp.ones(2)})
    assert np.isnan(found["a"]).all() and np.isnan(found["b"]).all()


def test_zero_gradient():
    assert (clipped(optim.clip_by_global_norm(1.0), jnp.zeros(3)) == 0).all()


@pytest.mark.parametrize(
    "clip", [optim.clip_by_value, optim.clip_by_leaf_norm, optim.clip_by_global_norm]
)
@pytest.mark.parametrize("limit", [0, -1.0, float("nan"), "1", True])
def test_bad_limits(clip, limit):
    with pytest.raises(ValueError, match=r"(max_delta|max_norm) must be a .*number > 0"):
        clip(limit)
