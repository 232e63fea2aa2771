"""Overlaps and formats against torchvision's, and where a quotient is 0/0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import boxes

KINDS = ("iou", "generalized_iou", "distance_iou", "complete_iou")


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_torchvisions(kind, torchvision, x64):
    a, b = jnp.asarray(torchvision["a"]), jnp.asarray(torchvision["b"])
    function = getattr(boxes, kind)
    # Both in float64; the reference adds products in another order.
    np.testing.assert_allclose(function(a, b), torchvision[kind], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(function(b, a), torchvision[kind].T, rtol=1e-12, atol=1e-13)
    paired = function(a, b[:7], paired=True)
    np.testing.assert_allclose(paired, np.diag(torchvision[kind]), rtol=1e-12, atol=1e-13)


def test_gradient_of_complete_iou_is_torchvisions(torchvision, x64):
    a, b = jnp.asarray(torchvision["a"]), jnp.asarray(torchvision["b"])[:7]
    gradient = jax.grad(lambda a: (1 - boxes.complete_iou(a, b, paired=True)).sum())(a)
    np.testing.assert_allclose(gradient, torchvision["complete_iou_gradient"], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_without_area_overlap_nothing_and_have_finite_gradients(kind):
    degenerate = jnp.array(
        [[3.0, 3, 3, 3], [3, 3, 3, 3], [1, 2, 1, 9], [1, 2, 9, 2], [0, 0, 0, 0], [9, 9, 2, 2]]
    )
    proper = jnp.array([[0.0, 0, 5, 5], [50, 50, 60, 60]])
    function = getattr(boxes, kind)

    def total(a):
        return function(a, jnp.concatenate([a, proper])).sum()

    values, gradient = jax.jit(lambda a: (function(a, proper), jax.grad(total)(a)))(degenerate)
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    if kind == "iou":
        assert (np.asarray(values) == 0).all()
        assert (np.asarray(boxes.iou(degenerate, degenerate)) == 0).all()


def test_formats_are_each_others_inverse():
    corners = jnp.array([[1.0, 2, 5, 10], [0, 0, 0, 0]])
    for other in boxes.FORMATS:
        there = boxes.convert(corners, "xyxy", other)
        np.testing.assert_array_equal(boxes.convert(there, other, "xyxy"), corners)
    centers = boxes.convert(jnp.array([[1.0, 2, 4, 8]]), "xywh", "cxcywh")
    assert centers.tolist() == [[3.0, 6.0, 4.0, 8.0]]


def test_clip_and_scale_know_height_from_width():
    box = jnp.array([[-5.0, -5, 100, 100]])
    assert boxes.clip(box, (10, 20)).tolist() == [[0, 0, 20, 10]]
    outside = boxes.clip(jnp.array([[30.0, 2, 40, 4]]), (10, 20))
    assert boxes.area(outside).tolist() == [0.0]
    assert boxes.scale(jnp.array([[1.0, 1, 1, 1]]), (2.0, 3.0)).tolist() == [[3, 2, 3, 2]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b: boxes.iou(b, b[:, :3]), r"b: got shape \(2, 3\); expected \(…, 4\)"),
        (lambda b: boxes.iou(b, b.astype(jnp.bfloat16)), "b: got bfloat16; expected float32"),
        (lambda b: boxes.iou(b, b[:1], paired=True), r"expected that of a, \(2, 4\), as paired"),
        (lambda b: boxes.iou(b[None], b), "with the same leading axes"),
        (lambda b: boxes.iou(b.astype(int), b), "a: got dtype int32; expected floating"),
        (lambda b: boxes.convert(b, "xxyy", "xyxy"), "source: got 'xxyy'; expected one of xyxy"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((2, 4)))
