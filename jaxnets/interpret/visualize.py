"""Feature visualization: an image that excites a unit, optimized in the Fourier basis."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.interpret.backward import check_count
from jaxnets.interpret.program import compiled, run_network
from jaxnets.interpret.targets import Target, as_map, as_unit, check_fits, pick, split

# Root of the covariance of colors in photographs, as published with Lucid.
COLOR_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


class Visualization(NamedTuple):
    """Images that were optimized, and how their units rose.

    Attributes:
        images: (n, H, W, C), values from 0 to 1.
        activations: of the units before every step, seen through that step's transformation,
            (steps, n).

    >>> Visualization._fields
    ('images', 'activations')
    """

    images: jax.Array
    activations: np.ndarray


class Transformations(NamedTuple):
    """How the image is moved at every step, each uniformly at random.

    Attributes:
        shift: up to so many pixels each way.
        scale: by up to this share larger or smaller.
        rotate: by up to so many degrees each way.

    >>> Transformations(shift=0, scale=0.0, rotate=0.0).shift
    0
    """

    shift: float = 8.0
    scale: float = 0.1
    rotate: float = 10.0


def fourier_scale(size: Sequence[int]) -> np.ndarray:
    """The spectrum of photographs, 1/f: what each Fourier coefficient is multiplied with.

    Args:
        size: (H, W) of the image.

    Returns:
        (H, W // 2 + 1).

    Source: Olah, Mordvintsev & Schubert 2017 (Feature Visualization), "Preconditioning and
    Parameterization".

    >>> fourier_scale((4, 4)).shape
    (4, 3)
    """
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.sqrt(rows**2 + columns**2)
    return np.sqrt(height * width) / np.maximum(frequency, 1 / max(height, width))


def image_from_fourier(coefficients: jax.Array, size: Sequence[int]) -> jax.Array:
    """Fourier coefficients, decorrelated in color, as an image with values from 0 to 1.

    Args:
        coefficients: (n, C, H, W // 2 + 1, 2), real and imaginary parts.
        size: (H, W).

    Returns:
        (n, H, W, C).

    >>> image_from_fourier(jnp.zeros((1, 3, 4, 3, 2)), (4, 4))[0, 0, 0].tolist()
    [0.5, 0.5, 0.5]
    """
    spectrum = fourier_scale(size) * (coefficients[..., 0] + 1j * coefficients[..., 1])
    x = jnp.moveaxis(jnp.fft.irfft2(spectrum, tuple(size)), 1, -1) / 4
    if x.shape[-1] == 3:
        root = COLOR_ROOT / np.linalg.norm(COLOR_ROOT, axis=0).max()
        x = x @ jnp.asarray(root.T, x.dtype)
    return jax.nn.sigmoid(x)


def visualize_unit(
    key: jax.Array,
    model: nn.Module,
    variables: Mapping[str, Any],
    target: Target,
    *,
    size: int | tuple[int, int],
    channels: int = 3,
    mean: Sequence[float] = (0.5,),
    std: Sequence[float] = (0.25,),
    steps: int = 256,
    rate: float = 0.05,
    transformations: Transformations | None = None,
) -> Visualization:
    """Optimize images to excite units, channels or logits.

    .. math:: \\max_z E_T \\, a(T(\\mathrm{sigmoid}(C · F^{-1}(s ∘ z))))

    with z Fourier coefficients, s their natural scale, C the correlation of colors and T random
    shifts, scalings and rotations, against the high frequencies that gradients are full of.

    Args:
        key: of the start and the transformations.
        model: any Flax module that takes images first.
        variables: its variables.
        target: a class, or several: one image each; a `Unit` whose channel is a number or several.
            Without a position a map counts as a whole.
        size: of the images, or (height, width).
        channels: colors.
        mean, std: of the normalization that the network wants, of images from 0 to 1; a number for
            each color, or one.
        steps: of Adam.
        rate: its learning rate.
        transformations: see `Transformations`.

    Returns:
        The images and the course of their activations.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: no channel, or one that the layer does not have.

    Source: Olah, Mordvintsev & Schubert 2017 (Feature Visualization).

    >>> model, x = nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(3)]), jnp.ones((1, 8, 8, 3))
    >>> variables = model.init(jax.random.key(0), x)
    >>> visualize_unit(jax.random.key(1), model, variables, [0, 2], size=8, steps=2).images.shape
    (2, 8, 8, 3)
    """
    check_count("steps", steps)
    unit = as_unit(target)
    if unit.channel is None:
        raise ValueError(
            "target: expected a class, or a Unit with a channel: without an image there is no "
            "strongest one"
        )
    size = (size, size) if isinstance(size, int) else tuple(size)
    count = np.atleast_1d(np.asarray(unit.channel)).size
    static, arrays = split(unit, count)
    moves = transformations or Transformations()
    step = compiled(_step, model, *static, size, moves, rate)
    start_key, key = jax.random.split(key)
    shape = (count, channels, size[0], size[1] // 2 + 1, 2)
    z = 0.01 * jax.random.normal(start_key, shape)
    state = optax.adam(rate).init(z)
    normalization = (jnp.asarray(mean, z.dtype), jnp.asarray(std, z.dtype))
    activations = []
    for one in jax.random.split(key, steps):
        z, state, activation, depth = step(variables, z, state, one, normalization, *arrays)
        if not activations:
            check_fits(unit, depth)
        activations.append(activation)
    return Visualization(image_from_fourier(z, size), np.stack(activations))


def _step(model, layer, kind, size, moves, rate, variables, z, state, key, normalization, *arrays):
    mean, std = normalization

    def loss(z):
        x = (_moved(key, image_from_fourier(z, size), moves) - mean) / std
        value = as_map(run_network(model, variables, x, layer=layer)[1])
        activation = pick(value, kind, *arrays)
        return -activation.sum(), (activation, jnp.array(value.shape[1:]))

    gradient, (activation, depth) = jax.grad(loss, has_aux=True)(z)
    updates, state = optax.adam(rate).update(gradient, state)
    return optax.apply_updates(z, updates), state, activation, depth


def _moved(key, images, moves: Transformations):
    """Every image shifted, scaled and turned by itself; gray comes into view."""
    height, width = images.shape[1:3]
    middle = jnp.array([(height - 1) / 2, (width - 1) / 2])
    grid = jnp.stack(
        jnp.meshgrid(jnp.arange(height) - middle[0], jnp.arange(width) - middle[1], indexing="ij")
    )

    def move(key, image):
        shift, scale, turn = jax.random.split(key, 3)
        angle = jnp.deg2rad(jax.random.uniform(turn, (), minval=-moves.rotate, maxval=moves.rotate))
        factor = 1 + jax.random.uniform(scale, (), minval=-moves.scale, maxval=moves.scale)
        sine, cosine = jnp.sin(angle) / factor, jnp.cos(angle) / factor
        offset = jax.random.uniform(shift, (2,), minval=-moves.shift, maxval=moves.shift)
        rows = grid[0] * cosine + grid[1] * sine + middle[0] + offset[0]
        columns = grid[1] * cosine - grid[0] * sine + middle[1] + offset[1]
        planes = jnp.moveaxis(image - 0.5, -1, 0)
        found = jax.vmap(
            lambda p: jax.scipy.ndimage.map_coordinates(p, [rows, columns], order=1, cval=0.0)
        )(planes)
        return jnp.moveaxis(found, 0, -1) + 0.5

    return jax.vmap(move)(jax.random.split(key, len(images)), images)
