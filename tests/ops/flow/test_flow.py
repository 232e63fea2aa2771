"""Optical flow on pictures whose motion is known, and what is made of it."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops.flow import (
    clip_flow,
    endpoint_error,
    flow_to_color,
    horn_schunck,
    lucas_kanade,
    quantize_flow,
    subtract_mean_flow,
    tv_l1,
    unquantize_flow,
    warp,
)
from jaxnets.study.video_textures import moved_textures

METHODS = {"horn_schunck": horn_schunck, "lucas_kanade": lucas_kanade, "tv_l1": tv_l1}


def texture(dx, dy, size=(72, 88), seed=0):
    """A sum of waves of many directions and lengths, exactly translated by (dx, dy)."""
    return moved_textures((dx, dy), size, seed=seed)[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("motion", [(1.0, 0.0), (3.5, -2.25), (8.0, 5.0)])
def test_translated_textures(method, motion):
    """Mean endpoint error below a tenth of a pixel, away from the frame's borders."""
    first, second = texture(0, 0), texture(*motion)
    error = endpoint_error(METHODS[method](first, second), jnp.array(motion))
    inside = np.asarray(error)[12:-12, 12:-12]
    assert inside.mean() < 0.1, f"{inside.mean():.3f}"


def test_a_patch_that_moves_before_a_still_background():
    """Total variation keeps the edge; brightness stays along the flow."""
    still, moving = texture(0, 0, seed=1), texture(0, 0, seed=2)
    first, second = still.copy(), still.copy()
    first[24:48, 30:54] = moving[24:48, 30:54]
    second[24:48, 33:57] = moving[24:48, 30:54]
    flow = np.asarray(tv_l1(first, second))
    assert np.abs(flow[28:44, 34:50] - [3, 0]).mean() < 0.3
    assert np.abs(flow[:12]).mean() < 0.1
    before = np.abs(second - first).mean()
    assert np.abs(np.asarray(warp(jnp.asarray(second), flow)) - first).mean() < 0.5 * before


def test_flow_of_a_negative_is_the_same():
    first, second = texture(0, 0, (24, 24)), texture(1, 0.5, (24, 24))
    flow = lucas_kanade(first, second, levels=1, warps=2)
    negative = lucas_kanade(255 - first, 255 - second, levels=1, warps=2)
    np.testing.assert_allclose(negative, flow, atol=1e-2)


def test_flow_of_clips():
    clip = jnp.stack([texture(t, 0, (24, 24)) for t in range(3)])[None, ..., None]
    flow = clip_flow(clip, levels=1, warps=3)
    assert flow.shape == (1, 2, 24, 24, 2)
    flow = np.asarray(flow)
    assert np.abs(flow[0, :, 6:-6, 6:-6] - np.array([1, 0], np.float32)).mean() < 0.2
    with pytest.raises(ValueError, match="expected one of"):
        clip_flow(clip, method="farneback")
    with pytest.raises(ValueError, match="with T ≥ 2"):
        clip_flow(clip[:, :1])
    with pytest.raises(ValueError, match="shape of the first"):
        lucas_kanade(clip[0, 0, ..., 0], clip[0, 0, 1:, ..., 0])


def test_warping():
    picture = jnp.asarray(np.random.default_rng(0).standard_normal((5, 6, 2)))
    flow = jnp.zeros((5, 6, 2)).at[..., 0].set(0.25)
    moved = warp(picture, flow)
    expected = 0.75 * picture[:, :-1] + 0.25 * picture[:, 1:]
    np.testing.assert_allclose(moved[:, :-1], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="flow: expected"):
        warp(picture, flow[1:])


def test_bytes_and_means():
    flow = np.random.default_rng(0).uniform(-20, 20, (4, 5, 6, 2)).astype(np.float32)
    back = unquantize_flow(quantize_flow(flow))
    assert np.abs(back - flow).max() <= 20 / 255 + 1e-5
    np.testing.assert_allclose(subtract_mean_flow(flow).mean((1, 2)), 0, atol=1e-5)
    with pytest.raises(ValueError, match="bound"):
        quantize_flow(flow, bound=0)


def test_colors_are_those_of_hsv():
    angles = np.arange(12) / 12
    flow = np.stack((np.cos(2 * np.pi * angles), np.sin(2 * np.pi * angles)), -1)[None] * 0.5
    found = np.asarray(flow_to_color(jnp.asarray(flow, jnp.float32), largest=1.0))[0]
    expected = [np.round(255 * np.array(colorsys.hsv_to_rgb(a, 0.5, 1))) for a in angles]
    assert np.abs(found.astype(int) - np.array(expected)).max() <= 1
    assert jax.jit(flow_to_color)(jnp.zeros((2, 2, 2))).min() == 255
