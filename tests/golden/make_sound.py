"""Log-mel features by librosa, for tests/data/test_sound.py: python tests/golden/make_sound.py

Made with librosa 0.11.0 and numpy 2.4 (pip install librosa).
"""

from pathlib import Path

import librosa
import numpy as np

RATE = 8000


def sound() -> np.ndarray:
    """Two gliding tones and noise, a third of a second."""
    time = np.arange(2700) / RATE
    tones = np.sin(2 * np.pi * (300 + 900 * time) * time) + 0.3 * np.sin(2 * np.pi * 2200 * time)
    noise = np.random.default_rng(0).normal(size=time.size)
    return (0.3 * tones + 0.05 * noise).astype(np.float32)


if __name__ == "__main__":
    wave = sound()
    fields = {"sr": RATE, "n_fft": 256, "hop_length": 80, "n_mels": 40}
    power = librosa.feature.melspectrogram(y=wave, win_length=200, fmin=20.0, fmax=4000.0, **fields)
    np.savez_compressed(
        Path(__file__).with_name("sound.npz"),
        wave=wave,
        log_mel=np.log(power.T + 1e-6),
        filters=librosa.filters.mel(sr=RATE, n_fft=256, n_mels=40, fmin=20.0, fmax=4000.0),
    )
