"""Sound: features equal to librosa's, and files that are read or refused with a sentence."""

from pathlib import Path

import jax
import numpy as np
import pytest
import soundfile

from jaxnets.data.sound import log_mel, mel_filters, read_sound, read_spoken_digits
from jaxnets.errors import JaxnetsError

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "sound.npz")


def test_features_are_librosas():
    """librosa 0.11 (tests/golden/make_sound.py); single precision on both sides."""
    np.testing.assert_allclose(
        mel_filters(8000, 256, 40, 20.0, 4000.0), GOLDEN["filters"], atol=1e-8
    )
    found = jax.jit(log_mel)(GOLDEN["wave"])
    np.testing.assert_allclose(found, GOLDEN["log_mel"], atol=1e-4)
    # Two at once, one of them longer by silence: the same frames.
    both = np.stack([np.pad(GOLDEN["wave"], (0, 500))] * 2)
    np.testing.assert_allclose(log_mel(both)[1, : len(found) - 2], found[:-2], atol=1e-4)


def test_silence_has_finite_features_and_gradients():
    value, gradient = jax.value_and_grad(lambda w: log_mel(w).sum())(np.full(400, 1e-3, np.float32))
    assert np.isfinite(value) and np.isfinite(gradient).all()


def tone(rate, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(rate) / rate)


def test_stereo_and_other_rates_become_what_is_asked_for(tmp_path):
    for rate in (8000, 11025, 16000, 44100):
        path = tmp_path / f"{rate}.wav"
        soundfile.write(path, np.stack((tone(rate), np.zeros(rate)), 1), rate)
        wave = read_sound(path, 8000)
        assert wave.shape == (8000,) and wave.dtype == np.float32
        # Ends aside, where the filter sees silence; 16 bits and the filter's ripple.
        np.testing.assert_allclose(wave[200:-200], tone(8000)[200:-200] / 2, atol=3e-3)
    # What 8,000 samples a second cannot hold is filtered out.
    soundfile.write(path, tone(44100, 9000.0), 44100)
    assert abs(read_sound(path, 8000)[200:-200]).max() < 5e-3


def put(path, data=None, wave=None):
    if data is not None:
        path.write_bytes(data)
    elif wave is not None:
        soundfile.write(path, wave, 8000, subtype="FLOAT")
    return path


SENTENCES = {
    "missing": (lambda p: read_sound(p, 8000), "no such file"),
    "text": (lambda p: read_sound(put(p, b"hello"), 8000), "no sound file"),
    "empty": (lambda p: read_sound(put(p, wave=np.zeros(0)), 8000), "holds no samples"),
    "infinite": (lambda p: read_sound(put(p, wave=np.full(9, np.inf)), 8000), "not finite"),
    "rate": (lambda p: read_sound(p, 0), "rate: got 0"),
    "digits": (lambda p: read_spoken_digits(p), "no spoken digits"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_what_is_no_sound_is_said_in_a_sentence(name, tmp_path):
    call, sentence = SENTENCES[name]
    with pytest.raises(JaxnetsError, match=sentence):
        call(tmp_path / "a.wav")


def test_recordings_are_cut_as_they_were_laid(tmp_path):
    lengths = np.array([300, 500, 200])
    wave = np.repeat([0.1, 0.2, 0.3], lengths)
    soundfile.write(tmp_path / "fsdd.flac", wave, 8000)
    meta = {"label": [3, 1, 4], "speaker": [0, 0, 1], "index": [4, 5, 6], "length": lengths}
    np.savez(tmp_path / "fsdd_meta.npz", **meta)
    digits = read_spoken_digits(tmp_path / "fsdd.flac")
    assert [len(w) for w in digits.waves] == [300, 500, 200]
    assert [round(float(w.mean()), 3) for w in digits.waves] == [0.1, 0.2, 0.3]
    assert digits.test.tolist() == [True, False, False] and digits.digits.tolist() == [3, 1, 4]
    np.savez(tmp_path / "fsdd_meta.npz", **{**meta, "length": lengths + 1})
    with pytest.raises(JaxnetsError, match="do not belong together"):
        read_spoken_digits(tmp_path / "fsdd.flac")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: log_mel(np.zeros(0)), "wave: got shape"),
        (lambda: log_mel(np.zeros(9), hann=300), "hann: got 300"),
        (lambda: log_mel(np.zeros(9), hop=0), "a hop of at least 1"),
    ],
)
def test_sizes_that_do_not_fit(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
