"""Filters seen in their spectra, and a square wave out of sines.

Source: Oppenheim, Schafer, "Discrete-Time Signal Processing" (3rd edition, 2010), chapters 2 and 8;
for the overshoot at a jump Gibbs, "Fourier's series", Nature 59 (1899).
"""

from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxnets.ops import conv
from jaxnets.ops.convolution import circular_conv
from jaxnets.study.figures import new_figure, save_figure

_BELL = np.exp(-0.5 * (np.arange(-6, 7) / 2) ** 2)
# Each answers a constant with 1 (low-pass) or with 0 (high-pass).
FILTERS = {
    "box 5×5": np.full((5, 5), 1 / 25),
    "Gauss σ=2": np.outer(_BELL, _BELL) / np.outer(_BELL, _BELL).sum(),
    "Laplace": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float),
    "Sobel": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], float),
}
# Half of (2/π)·Si(π) − 1: the overshoot of a jump from −1 to 1, as a share of the jump.
GIBBS = 0.0894899


def response(kernel: np.ndarray, size: int = 256) -> np.ndarray:
    """|H(f)|, the size of a filter's frequency response.

    Args:
        kernel: shape (k, k).
        size: frequencies along each axis.

    Returns:
        Shape (size, size), frequency zero in the middle.

    >>> response(np.full((2, 2), 0.25), 4)[2, 2].item()
    1.0
    """
    return np.fft.fftshift(np.abs(np.fft.fft2(kernel, (size, size))))


def high_frequency_share(image: np.ndarray) -> float:
    """Share of the energy (without the mean) above half the highest frequency.

    Args:
        image: gray, shape (H, H).

    Returns:
        Between 0 and 1.

    >>> high_frequency_share(np.array([[1.0, -1.0] * 4] * 8))  # alternates from pixel to pixel
    1.0
    """
    energy = np.abs(np.fft.fft2(image - image.mean())) ** 2
    f = np.fft.fftfreq(image.shape[0])
    high = np.maximum(np.abs(f)[:, None], np.abs(f)[None]) > 0.25
    return float(energy[high].sum() / energy.sum())


def apply_filters(image: np.ndarray) -> dict[str, np.ndarray]:
    """The image after each of `FILTERS`, by `jaxnets.ops.conv` with zeros around it.

    Args:
        image: gray, shape (H, W).

    Returns:
        Float32 arrays of the same shape.
    """
    x = jnp.asarray(image, "float32")[None, ..., None]
    results = {}
    for name, kernel in FILTERS.items():
        k = jnp.asarray(kernel, "float32")[..., None, None]
        y = conv(x, k, padding=kernel.shape[0] // 2, algorithm="fft")
        results[name] = np.asarray(y)[0, ..., 0]
    return results


def circular_theorem_error(image: np.ndarray) -> float:
    """Largest difference between the product of spectra and the image convolved on a torus.

    The convolution theorem: the discrete Fourier transform of a circular convolution is the
    product of the transforms (conjugated for a correlation, which is what networks compute).

    Args:
        image: gray, shape (H, W); filtered with "Gauss σ=2".

    Returns:
        The largest absolute difference over all pixels.
    """
    kernel = FILTERS["Gauss σ=2"]
    x = jnp.asarray(image, "float32")[None, ..., None]
    torus = np.asarray(circular_conv(x, jnp.asarray(kernel, "float32")[..., None, None]))[0, ..., 0]
    spectrum = np.fft.fft2(image) * np.conj(np.fft.fft2(kernel, image.shape))
    return float(np.abs(torus - np.fft.ifft2(spectrum).real).max())


def square_wave_sums(terms: Sequence[int], samples: int) -> list[dict]:
    """Partial sums of the square wave sign(sin t) = Σ 4/(πk)·sin(kt) over odd k.

    Args:
        terms: sines in each partial sum.
        samples: points of one period.

    Returns:
        For each sum {"terms", "mean_square_error", "overshoot" (share of the jump), "wave"
        (samples,)}.
    """
    t = (np.arange(samples) + 0.5) * 2 * np.pi / samples
    square = np.sign(np.sin(t))
    rows = []
    for count in terms:
        odd = 2 * np.arange(count) + 1
        wave = sum(4 / (np.pi * k) * np.sin(k * t) for k in odd)
        rows.append(
            {
                "terms": count,
                "mean_square_error": float(np.mean((wave - square) ** 2)),
                "overshoot": float((wave.max() - 1) / 2),  # of the jump, which is 2
                "wave": wave,
            }
        )
    return rows


def draw_filtered(images: dict[str, np.ndarray], target: Path) -> None:
    """Save each image above its spectrum.

    Args:
        images: gray images by title, shape (H, W).
        target: a PNG file.
    """
    figure, (above, below) = new_figure(len(images), 2, width=3, height=3, frame=True)
    for (name, image), top, bottom in zip(images.items(), above, below, strict=True):
        top.imshow(image, cmap="gray")
        top.set_title(name)
        spectrum = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(image - image.mean()))))
        bottom.imshow(spectrum, cmap="magma")
        for ax in (top, bottom):
            ax.set_axis_off()
    below[0].set_title("spectra, log, zero in the middle", fontsize=9)
    save_figure(figure, target, dpi=100)


def draw_responses(target: Path) -> None:
    """Save the frequency responses of `FILTERS`.

    Args:
        target: a PNG file.
    """
    figure, axes = new_figure(len(FILTERS), width=3.4, height=3, frame=True)
    for (name, kernel), ax in zip(FILTERS.items(), axes, strict=True):
        image = ax.imshow(response(kernel), cmap="viridis", extent=(-0.5, 0.5, -0.5, 0.5))
        ax.set(title=f"|H|, {name}", xlabel="cycles per pixel")
        figure.colorbar(image, ax=ax)
    save_figure(figure, target, dpi=100)


def draw_sums(rows: list[dict], target: Path) -> None:
    """Save partial sums of a square wave, whole and at the jump.

    Args:
        rows: of `square_wave_sums`.
        target: a PNG file.
    """
    figure, (left, right) = new_figure(2, width=5.5, height=4)
    samples = len(rows[0]["wave"])
    t = (np.arange(samples) + 0.5) / samples
    for row in rows:
        label = f"{row['terms']} term" + "s" * (row["terms"] > 1)
        left.plot(t, row["wave"], linewidth=0.9, label=label)
        near = t < 4 / rows[-1]["terms"]
        right.plot(t[near], row["wave"][near], linewidth=0.9)
    left.set(xlabel="periods", title="Partial sums of a square wave")
    left.legend(loc="lower left")
    right.axhline(1, color="black", linewidth=0.6)
    right.axhline(1 + 2 * GIBBS, color="black", linestyle="--", linewidth=0.6)
    right.set(xlabel="periods", title="At the jump: the overshoot stays, 8.95 % of the jump")
    save_figure(figure, target, dpi=100)
