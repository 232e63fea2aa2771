"""Sound: files as samples, and log-mel features under jit.

Files are read by the `soundfile` library, an extra (``pip install 'jaxnets[text]'``) that is
imported when it is needed.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError


def read_sound(path: str | Path, rate: int) -> np.ndarray:
    """A sound file as samples of one channel.

    Args:
        path: WAV, FLAC, OGG or whatever else `soundfile` reads.
        rate: samples a second; a file of another rate is resampled (band limited), and several
            channels are averaged.

    Returns:
        float32 (L,), in −1 … 1.

    Raises:
        JaxnetsError: soundfile is not installed, no such file, no sound in it, samples that are
            not finite, or a rate below 1.

    >>> import soundfile, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.wav"
    >>> soundfile.write(path, np.stack((np.ones(1600), np.zeros(1600)), 1) / 2, 16_000)
    >>> wave = read_sound(path, 8000)
    >>> wave.shape, round(float(np.median(wave)), 2)
    ((800,), 0.25)
    """
    if rate < 1:
        raise JaxnetsError(f"rate: got {rate}; expected samples a second, at least 1")
    try:
        import soundfile
    except ImportError:
        raise JaxnetsError("sound files need soundfile: pip install 'jaxnets[text]'") from None
    if not Path(path).is_file():
        raise JaxnetsError(f"cannot read {path}: no such file")
    try:
        wave, own = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise JaxnetsError(f"cannot read {path}: no sound file ({error})") from None
    if not len(wave):
        raise JaxnetsError(f"{path} holds no samples; expected some sound")
    if not np.isfinite(wave).all():
        raise JaxnetsError(f"{path} holds samples that are not finite numbers")
    wave = wave.mean(1)
    if own != rate:
        from scipy.signal import resample_poly

        common = math.gcd(int(own), rate)
        wave = resample_poly(wave, rate // common, int(own) // common)
    return wave.astype(np.float32)


@cache
def mel_filters(rate: int, window: int, mels: int, low: float, high: float) -> np.ndarray:
    """Triangles on the mel scale, each of area 1, over the bins of a Fourier transform.

    The scale is linear below 1000 Hz and logarithmic above (Slaney's, librosa's default).

    Args:
        rate: samples a second.
        window: samples of a transform.
        mels: how many triangles.
        low: Hz, where the first begins.
        high: Hz, where the last ends.

    Returns:
        float32 (mels, window // 2 + 1).

    Source: Slaney 1998 (Auditory Toolbox, Technical Report 1998-010).

    >>> mel_filters(8000, 256, 40, 20.0, 4000.0).shape
    (40, 129)
    """
    # 15 mels are 1000 Hz; above, each mel is a factor of 6.4^(1/27).
    factor = math.log(6.4) / 27

    def to_mel(hertz: float) -> float:
        if hertz < 1000:
            return hertz * 3 / 200
        return 15 + math.log(hertz / 1000) / factor

    mel = np.linspace(to_mel(low), to_mel(high), mels + 2)
    hertz = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(factor * (mel - 15)))
    bins = np.linspace(0, rate / 2, window // 2 + 1)
    width = np.diff(hertz)
    slopes = hertz[:, None] - bins[None]
    rising = -slopes[:-2] / width[:-1, None]
    falling = slopes[2:] / width[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (hertz[2:] - hertz[:-2]))[:, None]).astype(np.float32)


def log_mel(
    wave: jax.Array,
    *,
    rate: int = 8000,
    window: int = 256,
    hann: int = 200,
    hop: int = 80,
    mels: int = 40,
    low: float = 20.0,
    high: float | None = None,
    floor: float = 1e-6,
) -> jax.Array:
    """log(mel filters · |Fourier transform of a Hann window|² + floor), step by step.

    Frame t is centered on sample t · hop; beyond the ends there is silence. Works under jit, vmap
    and grad.

    Args:
        wave: (…, L) samples.
        rate: samples a second.
        window: samples of a transform.
        hann: samples of the Hann window in its middle, at most ``window``.
        hop: samples from frame to frame.
        mels: features.
        low: Hz, where the filters begin.
        high: Hz, where they end; half the rate where None.
        floor: added before the logarithm.

    Returns:
        (…, 1 + L // hop, mels).

    Raises:
        ValueError: no samples, or sizes that do not fit.

    Source: Davis & Mermelstein 1980, §II; the values are those of librosa.feature.melspectrogram.

    >>> import jax.numpy as jnp
    >>> log_mel(jnp.zeros((2, 8000))).shape
    (2, 101, 40)
    """
    if getattr(wave, "ndim", 0) < 1 or wave.shape[-1] == 0:
        raise ValueError(f"wave: got shape {getattr(wave, 'shape', ())}; expected (…, samples)")
    if not 1 <= hann <= window or hop < 1:
        raise ValueError(
            f"hann: got {hann} and hop {hop} for a window of {window}; expected 1 to {window}, and "
            "a hop of at least 1"
        )
    high = rate / 2 if high is None else high
    curve = np.zeros(window, np.float32)
    left = (window - hann) // 2
    curve[left : left + hann] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(hann) / hann)
    half = window // 2
    padded = jnp.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(half, half)])
    starts = np.arange(1 + wave.shape[-1] // hop) * hop
    frames = padded[..., starts[:, None] + np.arange(window)] * curve
    power = jnp.abs(jnp.fft.rfft(frames)) ** 2
    filters = mel_filters(rate, window, mels, float(low), float(high))
    return jnp.log(power @ filters.T + floor)


class SpokenDigits(NamedTuple):
    """Recordings of single digits.

    Attributes:
        waves: each (L,) samples at ``rate``.
        digits: (N,) 0 to 9.
        speakers: (N,) numbers of the speakers.
        test: (N,) booleans: the first five recordings of each digit and speaker.
        rate: samples a second.

    >>> digits = SpokenDigits([np.zeros(8)], np.array([3]), np.array([0]), np.array([True]))
    >>> len(digits.waves), digits.rate
    (1, 8000)
    """

    waves: Sequence[np.ndarray]
    digits: np.ndarray
    speakers: np.ndarray
    test: np.ndarray
    rate: int = 8000


def read_spoken_digits(path: str | Path) -> SpokenDigits:
    """The Free Spoken Digit Dataset as one sound file, and where each recording lies in it.

    Args:
        path: ``fsdd.flac``; ``fsdd_meta.npz`` (label, speaker, index, length) stands beside it.

    Returns:
        `SpokenDigits`.

    Raises:
        JaxnetsError: files that are not there, or that do not fit together.

    Source: Jackson et al. 2018 (Free Spoken Digit Dataset).

    >>> read_spoken_digits("/nowhere.flac")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: no spoken digits at /nowhere.flac; expected fsdd.flac ...
    """
    path = Path(path)
    meta_path = path.with_name(f"{path.stem}_meta.npz")
    if not path.is_file() or not meta_path.is_file():
        raise JaxnetsError(
            f"no spoken digits at {path}; expected fsdd.flac with fsdd_meta.npz beside it"
        )
    wave = read_sound(path, 8000)
    with np.load(meta_path, allow_pickle=False) as meta:
        label, speaker, index, length = (
            np.asarray(meta[key], np.int64) for key in ("label", "speaker", "index", "length")
        )
    if length.sum() != len(wave):
        raise JaxnetsError(
            f"{path} has {len(wave):,} samples, {meta_path.name} counts {length.sum():,}; they do "
            "not belong together"
        )
    return SpokenDigits(np.split(wave, np.cumsum(length)[:-1]), label, speaker, index < 5)


def tone_digits() -> SpokenDigits:
    """Ten pitches of three "speakers", of different lengths, to try a speller on.

    Returns:
        `SpokenDigits`, a third of them the test.

    >>> digits = tone_digits()
    >>> len(digits.waves), int(digits.test.sum())
    (90, 30)
    """
    draw = np.random.default_rng(0)
    digits, speakers = np.repeat(np.arange(10), 9), np.tile(np.arange(3), 30)
    time = [np.arange(draw.integers(800, 1600)) / 8000 for _ in digits]
    pitch = 250 * 1.25**digits * (1 + 0.03 * speakers)
    waves = [np.sin(2 * np.pi * p * t).astype(np.float32) for p, t in zip(pitch, time, strict=True)]
    return SpokenDigits(waves, digits, speakers, np.arange(90) % 9 < 3)
