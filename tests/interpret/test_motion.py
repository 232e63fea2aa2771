"""Clips that excite a unit: smoother in time with a stronger penalty, and known optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.interpret import ClipVisualization, clip_variation, visualize_motion

SHAPE = (6, 8, 8, 1)


def test_variation_by_hand_and_of_a_constant():
    assert {k: float(v) for k, v in clip_variation(jnp.full(SHAPE, 0.3)).items()} == {
        "time": 0.0,
        "space": 0.0,
    }
    stripes = jnp.tile(jnp.arange(8.0)[None, None, :, None] % 2, (6, 8, 1, 1))
    assert float(clip_variation(stripes)["space"]) == 1.0
    assert float(clip_variation(stripes)["time"]) == 0.0
    assert float(clip_variation(jnp.ones((1, 1, 1, 2)))["time"]) == 0.0


def test_of_a_linear_unit_the_clip_is_its_filter():
    weights = jnp.asarray(np.random.default_rng(0).standard_normal(SHAPE), jnp.float32)
    found = visualize_motion(
        jax.random.key(0), lambda w, x: jnp.sum(w * x[0]), weights, SHAPE, space=0, time=0
    )
    assert isinstance(found, ClipVisualization)
    # Without a penalty every value goes to the end that its weight's sign says.
    np.testing.assert_array_equal(found.clip > 0.5, weights > 0)
    # Rounded sums of hundreds of terms near their limit.
    assert (np.diff(found.activations) > -1e-3).all()


def test_the_penalty_in_time_makes_the_motion_slow():
    # A unit that wants every frame to differ from the one before.
    unit = lambda w, x: jnp.mean(jnp.abs(jnp.diff(x, axis=1)))  # noqa: E731
    energies = [
        float(
            clip_variation(visualize_motion(jax.random.key(1), unit, {}, SHAPE, time=t).clip)[
                "time"
            ]
        )
        for t in (0.0, 0.6, 1.0, 3.0)
    ]
    assert energies == sorted(energies, reverse=True) and energies[0] > 2 * energies[-1]


def test_what_is_no_clip_is_said():
    unit = lambda w, x: x.mean()  # noqa: E731
    with pytest.raises(ValueError, match=r"expected \(T, H, W, C\)"):
        visualize_motion(jax.random.key(0), unit, {}, (4, 8, 8))
    for options in ({"time": -1.0}, {"steps": 0}):
        with pytest.raises(ValueError, match="strengths of at least 0 and at least one step"):
            visualize_motion(jax.random.key(0), unit, {}, SHAPE, **options)
