"""First-layer filters: which are dead, and what frequencies they take from the image."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxnets.errors import UnknownNameError


class FilterReport(NamedTuple):
    """What there is to say of each of F filters.

    Attributes:
        kernels: (F, h, w, C).
        rms: root of the mean square of the weights, (F,).
        dead: (F,), whether the weights are a small share of the largest filter's.
        frequency: mean spatial frequency of the energy, (F,), in cycles a pixel of the image:
            0 is a plain color, 0.5 a change of sign at every pixel.
        low, middle, high: share of the energy in each third of 0 … 0.5 cycles a pixel, (F,).
        aliased: share of the energy above the highest frequency that the stride can carry on,
            1 / (2 · stride) cycles a pixel, (F,).

    >>> filter_report(np.ones((3, 3, 1, 2))).rms.tolist()
    [1.0, 1.0]
    """

    kernels: np.ndarray
    rms: np.ndarray
    dead: np.ndarray
    frequency: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    aliased: np.ndarray

    @property
    def dead_count(self) -> int:
        """Number of dead filters."""
        return int(self.dead.sum())


def filter_report(
    kernel: Any, *, stride: int = 1, dead_below: float = 0.05, points: int = 64
) -> FilterReport:
    """Look at the filters of a layer: dead ones, and ones that see only extreme frequencies.

    The paper found in AlexNet's 11×11 filters with stride 4 some that dominate, many dead ones, a
    mix of very high and low frequencies with little between, and patterns of aliasing behind the
    large stride; 7×7 with stride 2 cured all three.

    Args:
        kernel: (h, w, C, F), as convolutions keep it; `find_kernel` finds it in variables.
        stride: of the convolution.
        dead_below: a filter is dead whose RMS is below this share of the largest one's.
        points: of the Fourier transform, along each axis; the filter is padded with zeros.

    Returns:
        See `FilterReport`.

    Raises:
        ValueError: a kernel of another shape, or a stride below 1.

    Source: Zeiler & Fergus 2014, §4.1, figure 6; RMS clipping in §3.

    >>> kernel = np.zeros((2, 2, 1, 2))
    >>> kernel[..., 0] = [[[1], [-1]], [[-1], [1]]]
    >>> report = filter_report(kernel)
    >>> report.dead.tolist(), round(float(report.high[0]), 2) > 0.5
    ([False, True], True)
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 4:
        raise ValueError(f"kernel: got shape {kernel.shape}; expected (h, w, C, F)")
    if stride < 1:
        raise ValueError(f"stride: got {stride}; expected at least 1")
    points = max(points, *kernel.shape[:2])
    kernels = kernel.transpose(3, 0, 1, 2)
    rms = np.sqrt((kernels**2).mean((1, 2, 3)))
    energy = (np.abs(np.fft.fft2(kernels, (points, points), axes=(1, 2))) ** 2).sum(-1)
    cycles = np.abs(np.fft.fftfreq(points))
    # The larger of both axes' frequencies: the axis along which a stride would alias.
    radius = np.maximum(cycles[:, None], cycles[None])
    total = np.maximum(energy.sum((1, 2)), 1e-300)

    def share(where):
        return (energy * where).sum((1, 2)) / total

    return FilterReport(
        kernels,
        rms,
        rms < dead_below * max(float(rms.max()), 1e-300),
        share(radius),
        share(radius < 1 / 6),
        share((radius >= 1 / 6) & (radius < 1 / 3)),
        share(radius >= 1 / 3),
        share(radius > 1 / (2 * stride)),
    )


def find_kernel(variables: Mapping[str, Any], layer: str | None = None) -> np.ndarray:
    """The kernel of a convolution in a network's variables.

    Args:
        variables: with "params", or parameters.
        layer: path of the layer; None: the convolution that sees the fewest channels, which is the
            one that sees the image.

    Returns:
        (h, w, C, F).

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: no convolution at all.

    >>> find_kernel({"params": {"conv1": {"kernel": np.ones((3, 3, 1, 4))}}}).shape
    (3, 3, 1, 4)
    """
    flat = flatten_dict(dict(variables.get("params", variables)), sep="/")
    kernels = {
        path.removesuffix("/kernel"): np.asarray(leaf)
        for path, leaf in flat.items()
        if path.endswith("/kernel") and np.ndim(leaf) == 4
    }
    if layer is not None:
        if layer not in kernels:
            raise UnknownNameError("layer", layer, kernels)
        return kernels[layer]
    if not kernels:
        raise ValueError("variables: got no kernel (h, w, C, F); there is no convolution")
    return min(kernels.values(), key=lambda kernel: kernel.shape[2])


def limit_filter_rms(kernel: jax.Array, radius: float = 0.1) -> jax.Array:
    """Scale filters down whose RMS exceeds a radius, as the paper does after every step.

    Args:
        kernel: (h, w, C, F).
        radius: the largest RMS.

    Returns:
        (h, w, C, F).

    Source: Zeiler & Fergus 2014, §3: "we renormalize each filter in the convolutional layers whose
    RMS value exceeds a fixed radius of 10⁻¹ to this fixed radius".

    >>> limit_filter_rms(jax.numpy.ones((1, 1, 1, 1)), 0.5).item()
    0.5
    """
    rms = jax.numpy.sqrt((kernel**2).mean((0, 1, 2)))
    return kernel * jax.numpy.minimum(1, radius / jax.numpy.maximum(rms, 1e-30))
