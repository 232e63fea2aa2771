"""Ratios of families: totals over shapes, each as often as its network has it."""

import pytest

from jaxnets.study.convolution import report


def rows(family, shape, count, **milliseconds):
    """One forward and one of each gradient: direct and auto."""
    for direction in ("forward", "input_gradient", "kernel_gradient"):
        for algorithm, ms in milliseconds.items():
            yield {
                "family": family,
                "shape": shape,
                "count": count,
                "direction": direction,
                "algorithm": algorithm,
                "auto": algorithm == "shift",
                "ms": ms,
                "ratio": milliseconds["direct"] / ms,
            }


def test_families_weigh_shapes_by_how_often_they_occur():
    measured = [*rows("a", "x", 3, direct=10.0, shift=1.0), *rows("a", "y", 1, direct=2.0, shift=4)]
    ratios = report.family_ratios(measured)
    assert ratios["a: forward"] == ratios["a: gradients"] == pytest.approx(32 / 7)
    assert ratios["slowest auto"] == 0.5


def test_prepared_kernels_of_vgg_replace_what_auto_chose():
    measured = [
        *rows("VGG-16", "56²x64 3x3 →64", 1, direct=10.0, shift=10.0),
        *rows("VGG-16", "14²x256 3x3 →512", 1, direct=10.0, shift=10.0),
    ]
    # Only the second shape has a kernel transformed beforehand.
    measured.append({**measured[-1], "direction": "forward", "ms": 2.0, "auto": False})
    measured[-1]["algorithm"] = "winograd prepared"
    ratios = report.family_ratios(measured)
    assert ratios["VGG-16: forward"] == 1
    assert ratios["VGG-16: forward, kernels transformed beforehand"] == pytest.approx(20 / 12)
    assert ratios["VGG-16: the same, 256 input channels and more"] == 5
