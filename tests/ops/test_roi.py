"""Regions of a thousand small maps: values and gradients are torchvision's."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import roi

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))
import box_sets  # noqa: E402


@pytest.fixture(scope="module")
def torchvision():
    with np.load(GOLDEN / "boxes.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def sets():
    return [
        np.stack(part) for part in zip(*map(box_sets.region_set, range(box_sets.SETS)), strict=True)
    ]


def value_and_gradient(function, sets):
    features, regions, out_weight, in_weight = sets

    @jax.jit
    def both(features, regions):
        value, pull = jax.vjp(lambda x: function(x, regions), features)
        return value, pull(jnp.asarray(out_weight))[0]

    value, gradient = both(features, regions)
    return np.stack(
        [
            (np.asarray(value) * out_weight).sum((1, 2, 3, 4)),
            (np.asarray(gradient) * in_weight).sum((1, 2, 3)),
        ],
        1,
    )


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("samples", [1, 2, None])
def test_roi_align_is_torchvisions(aligned, samples, sets, torchvision, x64):
    found = value_and_gradient(
        lambda x, r: roi.roi_align(
            x, r, box_sets.CELLS, strides=2.0, samples=samples, aligned=aligned
        ),
        sets,
    )
    expected = torchvision[f"roi_align_{aligned}_{samples}"]
    if samples is None:
        # As many samples as the map has positions are enough where regions are no larger than it.
        sides = (sets[1][..., 2:] - sets[1][..., :2]) / 2.0
        fits = (sides <= np.array(box_sets.MAP[1::-1])).all((1, 2))
        assert fits.sum() > 50
        found, expected = found[fits], expected[fits]
    # Both in float64: sums of some hundred terms of order one.
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_roi_pool_is_torchvisions(sets, torchvision, x64):
    found = value_and_gradient(lambda x, r: roi.roi_pool(x, r, box_sets.CELLS, stride=2.0), sets)
    np.testing.assert_allclose(found, torchvision["roi_pool"], atol=1e-10)


def test_a_pyramid_is_each_of_its_maps():
    random = np.random.default_rng(0)
    maps = [random.standard_normal((2, s, s + 1, 3)).astype(np.float32) for s in (8, 4, 2)]
    corners = random.uniform(0, 20, (2, 6, 2))
    regions = np.concatenate([corners, corners + 12], -1).astype(np.float32)
    levels = np.arange(12).reshape(2, 6) % 3
    mask = np.ones((2, 6), bool)
    mask[1, 4:] = False
    strides = (4.0, 8.0, 16.0)
    both = jax.jit(
        lambda *maps: roi.roi_align(maps, regions, 3, strides=strides, levels=levels, mask=mask)
    )(*maps)
    for number, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        own = np.asarray(roi.roi_align(x, regions, 3, strides=stride))
        here = (levels == number) & mask
        np.testing.assert_array_equal(np.asarray(both)[here], own[here])
    assert (np.asarray(both)[~mask] == 0).all()


def test_regions_without_area_outside_or_absent_are_finite():
    x = jnp.asarray(np.random.default_rng(0).standard_normal((1, 5, 5, 2)), jnp.float32)
    odd = jnp.array([[[3.0, 3, 3, 3], [-50, -50, -40, -40], [400, 2, 500, 9], [9, 9, 1, 1]]])
    for function in (
        lambda x, r: roi.roi_align(x, r, 2, strides=1.0),
        lambda x, r: roi.roi_align(x, r, 2, strides=1.0, aligned=True),
        lambda x, r: roi.roi_pool(x, r, 2, stride=1.0),
    ):
        run = jax.jit(jax.value_and_grad(lambda x, r, f=function: f(x, r).sum(), (0, 1)))
        value, gradient = run(x, odd)
        assert np.isfinite(value) and all(np.isfinite(g).all() for g in gradient)
        assert (np.asarray(function(x, odd))[0, 1] == 0).all()
        assert function(x, jnp.zeros((1, 0, 4))).shape == (1, 0, 2, 2, 2)


def test_levels_are_torchvisions(torchvision):
    found = roi.assign_levels(jnp.asarray(torchvision["level_boxes"]), 4)
    np.testing.assert_array_equal(found, torchvision["levels"])
    assert roi.assign_levels(jnp.zeros((1, 4)), 4).tolist() == [0]


def test_pasted_masks_are_torchvisions(torchvision):
    masks, regions = (jnp.asarray(torchvision[name]) for name in ("masks", "mask_boxes"))
    pasted = roi.paste_masks(masks, regions, (16, 20))
    np.testing.assert_allclose(pasted, torchvision["pasted"], atol=1e-6)
    mask = jnp.array([True, False, True, True])
    padded = roi.paste_masks(masks, regions, (16, 20), mask=mask)
    np.testing.assert_array_equal(padded[mask], pasted[mask])
    assert not np.asarray(padded[1]).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, r: roi.roi_align(x, r[0], 2, strides=1.0), r"boxes: got shape \(3, 4\)"),
        (lambda x, r: roi.roi_align([x, x], r, 2, strides=[1.0]), "strides: got 1; expected one"),
        (lambda x, r: roi.roi_align(x, r, 2, strides=0.0), r"strides: got \[0.0\]; expected pos"),
        (lambda x, r: roi.roi_align(x, r, 2, strides=1.0, samples=0), "samples: got 0; expected"),
        (lambda x, r: roi.roi_pool(x[0], r, 2, stride=1.0), "features: got float32"),
        (lambda x, r: roi.paste_masks(x[0], r[0], (4, 4)), r"masks: got shape \(4, 4, 2\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 3, 4)))
