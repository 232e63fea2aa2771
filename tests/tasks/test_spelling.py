"""Listen, attend and spell: the pyramid, features of ragged sounds, and a network that learns."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import train
from jaxnets.data.sound import log_mel, tone_digits
from jaxnets.errors import JaxnetsError
from jaxnets.models.sequence import Speller
from jaxnets.models.sequence.speller import pair_steps
from jaxnets.tasks.spelling import MELS, digit_strings, features, letters_of_digits, spell
from jaxnets.tasks.spelling_training import train_speller


def test_pairs_of_steps_are_laid_side_by_side():
    x = jnp.arange(14.0).reshape(1, 7, 2)
    mask = jnp.arange(7)[None] < 5
    pairs, paired = pair_steps(x, mask)
    assert pairs.shape == (1, 4, 4) and paired.tolist() == [[True, True, True, False]]
    assert pairs[0, 1].tolist() == [4, 5, 6, 7] and pairs[0, 2].tolist() == [8, 9, 0, 0]
    assert (pairs[0, 3] == 0).all()


def test_a_pyramid_of_three_hears_eight_steps_as_one_and_no_padding():
    model = Speller(3, 7, 4, embedding=3, cell="lstm")
    sound = jax.random.normal(jax.random.PRNGKey(0), (2, 24, 3))
    mask, target = jnp.arange(24)[None] < jnp.array([[13], [24]]), jnp.array([[1, 2], [1, 4]])
    variables = jax.jit(model.init)(jax.random.PRNGKey(1), sound, target)
    encode = jax.jit(partial(model.apply, method="encode"))
    _, (_, annotations, heard) = encode(variables, sound, mask)
    assert annotations.shape == (2, 3, 8) and heard.tolist() == [[True, True, False], [True] * 3]
    apply = jax.jit(partial(model.apply, mutable=["attention"]))
    logits, stored = apply(variables, sound, target, source_mask=mask)
    padded, _ = apply(variables, sound.at[0, 13:].set(9.0), target, source_mask=mask)
    np.testing.assert_allclose(padded, logits, atol=1e-6)
    (weights,) = jax.tree.leaves(stored)
    assert weights.shape == (2, 2, 3) and (weights[0, :, 2] == 0).all()


def test_features_of_each_sound_are_its_own():
    waves = [np.random.default_rng(n).normal(size=size) for n, size in enumerate((900, 9000, 431))]
    for wave, found in zip(waves, features(waves), strict=True):
        alone = log_mel(wave.astype(np.float32))
        # Frames at the end see the silence behind it in both.
        np.testing.assert_allclose(found, alone - alone.mean(0), atol=1e-4)
    with pytest.raises(JaxnetsError, match="sound 1 has length 0"):
        features([waves[0], np.zeros(0)])


def test_strings_are_of_one_speaker_and_of_the_recordings_given():
    digits = tone_digits()
    rows = np.flatnonzero(digits.test)
    waves, words = digit_strings(digits, rows, 20, 3)
    lengths = {len(digits.waves[row]) for row in rows}
    assert all(len(words[0].split()) == 3 for _ in words) and len(set(words)) > 10
    assert all(3 * min(lengths) <= len(wave) <= 3 * max(lengths) for wave in waves)


@pytest.mark.slow
def test_a_speller_learns_tones(tmp_path):
    digits, letters = tone_digits(), letters_of_digits()
    model = Speller(MELS, letters.size, 32, embedding=16, cell="lstm", pyramid=2)
    options = train.RunOptions(workdir=tmp_path, devices=1, quiet=True, evaluate_every=20)
    fitted = train_speller(
        model, digits, letters, options=options, strings=60, epochs=60, batch_size=24, buckets=1,
        learning_rate=0.01,
    )  # fmt: skip
    assert fitted.summary["test_digits"] > 0.8, fitted.summary
    assert fitted.summary["test_digits_word_error_rate"] <= 0.2
    said, weights = spell(model, fitted.variables, digits.waves[0], letters)
    assert said == "zero" and weights.shape[0] == 5
