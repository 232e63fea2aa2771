"""A thing is followed: particles by their weights, autoencoders, a film with a target."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.metrics import success_curve
from jaxnets.models.stacked_autoencoder import StackedAutoencoder
from jaxnets.ops import effective_sample_size, systematic_resample
from jaxnets.study.moving_target import moving_target
from jaxnets.tasks.autoencoder_training import train_autoencoder
from jaxnets.tasks.tracker import TrackerOptions, start_tracker, track_frame
from jaxnets.tasks.tracking import gray, track

SMALL = TrackerOptions(50, 8, (16, 8), first_steps=3, steps=2, pretraining=3, negatives=20)


def test_particles_live_on_by_their_weights():
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=200).astype(np.float32) * (rng.uniform(size=200) < 0.7)
    draw = jax.jit(jax.vmap(systematic_resample, (0, None)))
    drawn = np.asarray(draw(jax.random.split(jax.random.key(0), 300), jnp.asarray(weights)))
    counts = np.stack([np.bincount(each, minlength=200) for each in drawn])
    expected = 200 * weights.astype(float) / weights.astype(float).sum()
    assert (counts >= np.floor(expected - 1e-3)).all() and (
        counts <= np.ceil(expected + 1e-3)
    ).all()
    np.testing.assert_allclose(counts.mean(0), expected, atol=0.12)
    assert (np.diff(drawn, axis=1) >= 0).all()
    np.testing.assert_array_equal(systematic_resample(jax.random.key(0), jnp.zeros(4)), range(4))
    squares = (weights.astype(float) ** 2).sum()
    np.testing.assert_allclose(
        effective_sample_size(jnp.asarray(weights)),
        weights.astype(float).sum() ** 2 / squares,
        rtol=1e-5,
    )
    assert effective_sample_size(jnp.ones(7)) == pytest.approx(7)
    with pytest.raises(ValueError, match=r"weights: got shape \(2, 2\)"):
        systematic_resample(jax.random.key(0), jnp.ones((2, 2)))


def test_an_autoencoder_brings_back_what_it_saw():
    """Examples of three numbers in sixteen: better than their mean, and than what is noisy."""
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 16))
    seen, new = (1 / (1 + np.exp(-rng.normal(size=(n, 3)) @ basis)) for n in (400, 100))
    network = StackedAutoencoder(16, (12, 6))
    variables = train_autoencoder(
        jax.random.key(0), network, seen, steps=400, learning_rate=0.01, weight_decay=0.0
    )
    noisy = new + rng.normal(0, 0.2, new.shape)
    error = ((np.asarray(network.apply(variables, noisy)) - new) ** 2).mean()
    assert error < 0.5 * min(((new - seen.mean(0)) ** 2).mean(), 0.2**2), error
    one, all_of_it = (network.apply(variables, new, 1, method=m) for m in ("encode", "encode"))
    assert one.shape == all_of_it.shape == (100, 12)
    back = network.apply(variables, one, 1, method="decode")
    assert back.shape == (100, 16)
    with pytest.raises(JaxnetsError, match=r"got \(100, 6\); expected \(N, 16\)"):
        train_autoencoder(jax.random.key(0), network, jnp.zeros((100, 6)))


def test_success_is_counted_by_hand():
    true = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [np.nan] * 4], float)
    found = np.array([[0, 0, 10, 8], [5, 0, 15, 10], [0, 0, 1, 1]], float)
    curve, area = success_curve(found, true, thresholds=np.array([0.0, 0.5, 0.79, 0.8]))
    np.testing.assert_allclose(curve, [1, 0.5, 0.5, 0])  # IoU .8 and ⅓
    assert area == pytest.approx(0.5)
    with pytest.raises(ValueError, match="got no frame with a box"):
        success_curve(found[2:], true[2:])


def test_weights_add_up_and_the_memory_keeps_the_first_frame():
    film, boxes = moving_target(np.random.default_rng(0), 3)
    state = start_tracker(jax.random.key(0), gray(film[0]), jnp.asarray(boxes[0]), SMALL)
    step = jax.jit(track_frame, static_argnums=3)
    first, found = step(jax.random.key(1), state, gray(film[1]), SMALL)
    np.testing.assert_allclose(found.weights.sum(), 1, rtol=1e-5)
    assert 1 <= found.effective <= SMALL.particles and (found.weights >= 0).all()
    assert found.effective == pytest.approx(1 / float((found.weights**2).sum()), rel=1e-4)
    np.testing.assert_array_equal(first.memory[:20], state.memory[:20])
    assert first.particles.shape == (50, 4) and int(first.frame) == 1
    # A network that is sure of nothing learns; one that is sure of everything remembers.
    for score, learned in ((-20.0, True), (20.0, False)):
        params = jax.tree.map(jnp.asarray, state.params)
        params["score"] = {**params["score"], "bias": jnp.full(1, score)}
        after, found = step(jax.random.key(1), state._replace(params=params), gray(film[1]), SMALL)
        assert bool(found.learned) == learned and int(after.count) == (not learned)
        assert (after.memory[20] == state.memory[20]).all() == learned


def test_what_cannot_be_followed_is_said():
    film = np.zeros((2, 20, 30, 3), np.uint8)
    with pytest.raises(JaxnetsError, match="within the first frame, 30×20 pixels"):
        track(film, (5, 5, 5, 9), SMALL)
    with pytest.raises(JaxnetsError, match="within the first frame"):
        track(film, (5, 5, 35, 9), SMALL)
    with pytest.raises(JaxnetsError, match="frames: got none"):
        track(film[:0], (5, 5, 9, 9), SMALL)


@pytest.mark.slow
def test_a_wandering_target_is_followed():
    film, boxes = moving_target(np.random.default_rng(0), 60)
    found = track(film, boxes[0])
    area = success_curve(found.boxes, boxes)[1]
    still = success_curve(np.tile(boxes[:1], (60, 1)), boxes)[1]
    assert area >= 0.7 > still + 0.3, (area, still)
