"""What filters do to an image, seen in its spectrum, and a square wave out of sines.

Command:  python -m experiments.convolution.fourier
          python -m experiments.convolution.fourier --image photo.jpg
Time:     a few seconds on one CPU core.
Result:   low-pass filters blur and keep about all energy below half the frequencies, high-pass
          filters (Laplace, Sobel) answer zero at frequency zero and keep the edges; the partial
          sums of a square wave come nearer in the mean square and still overshoot by 8.95 % of the
          jump. filters.png, responses.png, synthesis.png, summary.json.

Without --image it is a photograph that comes with scikit-learn (a Chinese temple).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxnets import command
from jaxnets.data import read_image
from jaxnets.errors import JaxnetsError
from jaxnets.study.convolution import spectra
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json

# The widest filter has so many taps.
LEAST = 16


@dataclass(frozen=True)
class Config:
    """What to draw.

    Attributes:
        image: an image file; a photograph of scikit-learn's by default.
        image_size: the image is cut to a square of this side, or of its own shorter side.
        terms: sines in each partial sum of the square wave.
        samples: points of one period.
        workdir: where the figures and summary.json go.
    """

    image: Path | None = None
    image_size: int = 400
    terms: tuple[int, ...] = (1, 3, 10, 50, 200)
    samples: int = 200_000
    workdir: Path = Path("runs/fourier")


def smoke() -> Config:
    """A small cut and few terms."""
    return Config(image_size=64, terms=(1, 5, 25), samples=200_000)


def load(config: Config) -> np.ndarray:
    """The image in gray, (size, size) in [0, 1]."""
    if config.image is None:
        from sklearn.datasets import load_sample_image

        gray = load_sample_image("china.jpg").mean(-1) / 255
    else:
        gray = read_image(config.image, channels=1)[..., 0] / 255
    size = min(config.image_size, *gray.shape)
    if size < LEAST:
        raise JaxnetsError(f"the image must be at least {LEAST} pixels wide and high, got {size}")
    top, left = ((s - size) // 2 for s in gray.shape)
    return gray[top : top + size, left : left + size]


def main(config: Config) -> dict:
    """Filter, add up, draw; returns the numbers."""
    picture = load(config)
    write_settings(config)
    images = {"picture": picture, **spectra.apply_filters(picture)}
    waves = spectra.square_wave_sums(config.terms, config.samples)
    summary = {
        "response_at_zero": {n: float(abs(k.sum())) for n, k in spectra.FILTERS.items()},
        "high_frequency_share": {n: spectra.high_frequency_share(i) for n, i in images.items()},
        "circular_theorem_error": spectra.circular_theorem_error(picture),
        "square_wave": [{k: v for k, v in row.items() if k != "wave"} for row in waves],
    }
    spectra.draw_filtered(images, config.workdir / "filters.png")
    spectra.draw_responses(config.workdir / "responses.png")
    spectra.draw_sums(waves, config.workdir / "synthesis.png")
    write_json(config.workdir / "summary.json", summary)
    for name, share in summary["high_frequency_share"].items():
        print(f"{name:10} energy above half the frequencies: {share:.4f}")
    for row in summary["square_wave"]:
        print(
            f"{row['terms']:4} terms: mean square error {row['mean_square_error']:.5f}, "
            f"overshoot {row['overshoot']:.4%} of the jump"
        )
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
