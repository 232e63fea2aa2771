"""Responses of filters and partial sums of a square wave."""

import numpy as np
import pytest

from jaxnets.study.convolution import spectra


def test_a_bell_answers_less_the_higher_the_frequency():
    # A Gaussian's response falls from the middle outwards; cut at three sigmas it ripples by 1e-3.
    response = spectra.response(spectra.FILTERS["Gauss σ=2"], 64)[32, 32:60]
    assert np.all(np.diff(response) <= 1e-3)


def test_filters_are_correlations_with_zeros_around_the_image():
    from scipy.ndimage import correlate

    image = np.random.default_rng(0).random((20, 20))
    for name, got in spectra.apply_filters(image).items():
        want = correlate(image, spectra.FILTERS[name], mode="constant")
        np.testing.assert_allclose(got, want, atol=1e-5)  # float32


def test_one_sine_of_the_square_wave():
    (row,) = spectra.square_wave_sums((1,), 4000)
    # Parseval: the sum's energy, 8/π², is what is missing from the square wave's, 1.
    assert row["mean_square_error"] == pytest.approx(1 - 8 / np.pi**2, abs=1e-6)
    assert row["overshoot"] == pytest.approx((4 / np.pi - 1) / 2, abs=1e-6)
