"""Inflation: an image network becomes a video network, and its weights come along.

A k×k kernel becomes t×k×k, its values repeated t times along time and divided by t. On a boring
video, the same image over and over, every layer then gives what it gave for the image: a fixed
point, exact where time is padded by repeating the first and the last frame.

Source: Carreira, Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
2017, section 2.4.1.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax

from jaxnets.models.checks import check_clips
from jaxnets.models.features import call_keywords
from jaxnets.models.video.layers import as_clips, as_images
from jaxnets.nn import Conv

EDGES = ("repeat", "zero")


def inflate_kernel(kernel: jax.Array, frames: int) -> jax.Array:
    """A kernel of images as one of clips: W'[τ] = W / frames for each τ.

    Args:
        kernel: (kh, kw, C_in, C_out).
        frames: t, frames that the new kernel spans.

    Returns:
        (t, kh, kw, C_in, C_out).

    Raises:
        ValueError: not four axes, or no frame.

    >>> inflate_kernel(jnp.full((3, 3, 1, 2), 6.0), 3)[:, 0, 0, 0, 0].tolist()
    [2.0, 2.0, 2.0]
    """
    if jnp.ndim(kernel) != 4 or frames < 1:
        raise ValueError(
            "inflate_kernel: expected a kernel (height, width, in, out) and at least 1 frame, got "
            f"{jnp.shape(kernel)} and {frames}"
        )
    kernel = jnp.asarray(kernel)
    return jnp.broadcast_to(kernel / frames, (frames, *kernel.shape))


class Inflated(nn.Module):
    """An image network on clips, some of whose convolutions see several frames.

    All frames run through the network as one batch of images; an inflated convolution takes them
    apart into clips, convolves space and time, and puts them together again. So every network of
    the library can be inflated, poolings, branches and shortcuts included. Time keeps its length;
    the predictions of all frames are averaged.

    Attributes:
        network: an image network.
        time_kernel: frames that an inflated kernel spans, odd.
        select: path of a convolution → whether it is inflated; None: those larger than 1×1.
        edges: "repeat" pads time with the first and the last frame, "zero" with zeros.

    Call: clips (N, T, H, W, C) → the mean of the network's outputs over the frames; of a network
    without head its endpoints as clips (N, T, H', W', C').

    >>> from jaxnets.models import create_model
    >>> network = Inflated(create_model("lenet5"), time_kernel=3)
    >>> x = jax.ShapeDtypeStruct((1, 4, 32, 32, 1), jnp.float32)
    >>> y, variables = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x), x)
    >>> y.shape, variables["params"]["network"]["c1"]["kernel"].shape
    ((1, 10), (3, 5, 5, 1, 6))
    """

    network: nn.Module
    time_kernel: int = 3
    select: Callable[[str], bool] | None = None
    edges: str = "repeat"

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x)
        if self.edges not in EDGES or self.time_kernel % 2 == 0:
            raise ValueError(
                f"Inflated: expected edges among {EDGES} and an odd time_kernel, got "
                f"{self.edges!r} and {self.time_kernel}"
            )
        frames = x.shape[1]
        keywords = call_keywords(self.network)
        keywords = {"train": train} if keywords else {}

        def convolve(call, args, kwargs, context):
            module = context.module
            if context.method_name != "__call__" or not self._inflates(module):
                return call(*args, **kwargs)
            return self._in_time(module, call, args[0], frames)

        with nn.intercept_methods(convolve):
            y = self.network(as_images(x), **keywords)
        y = jax.tree.map(lambda leaf: as_clips(leaf, frames), y)
        if getattr(self.network, "num_classes", 0) is None:
            return y
        return jax.tree.map(lambda leaf: leaf.mean(1), y)

    def _inflates(self, module: nn.Module) -> bool:
        if not isinstance(module, Conv) or len(module.kernel_size) != 2:
            return False
        if self.select is None:
            return max(module.kernel_size) > 1
        return self.select("/".join(module.path[len(self.path) + 1 :]))

    def _in_time(self, module: Conv, call, images: jax.Array, frames: int) -> jax.Array:
        """Run a convolution of images as one of clips: its fields are changed during the call."""
        half = self.time_kernel // 2
        clips = as_clips(images, frames)
        if self.edges == "repeat":
            widths = [(0, 0), (half, half), *[(0, 0)] * (clips.ndim - 2)]
            clips = jnp.pad(clips, widths, mode="edge")
        time = (0, 0) if self.edges == "repeat" else (half, half)
        changed = {
            "kernel_size": (self.time_kernel, *module.kernel_size),
            "strides": (1, *_pair(module.strides)),
            "dilation": (1, *_pair(module.dilation)),
            "padding": (time, *_padding(module, images.shape[1:3])),
        }
        before = {name: getattr(module, name) for name in changed}
        try:
            for name, value in changed.items():
                object.__setattr__(module, name, value)
            return as_images(call(clips))
        finally:
            for name, value in before.items():
                object.__setattr__(module, name, value)


def inflate(
    network: nn.Module,
    variables: Mapping[str, Any],
    image: jax.Array | jax.ShapeDtypeStruct,
    **fields: Any,
) -> tuple[Inflated, dict[str, Any]]:
    """A trained image network as a video network that starts with its weights.

    Args:
        network: an image network, such as one of `jaxnets.pretrained.load`.
        variables: its variables.
        image: images (N, H, W, C) that it takes; only their shape is looked at.
        **fields: of `Inflated`: ``time_kernel``, ``select``, ``edges``.

    Returns:
        (network, variables); with ``edges="repeat"`` it gives for a video of one repeated image
        what the image network gives for the image.

    Raises:
        ValueError: variables that are not those of the network.

    Source: Carreira & Zisserman 2017, section 2.4.1.

    >>> from jaxnets.models import create_model
    >>> network, image = create_model("lenet5"), jnp.ones((1, 32, 32, 1))
    >>> variables = network.init(jax.random.key(0), image)
    >>> video_network, video_variables = inflate(network, variables, image)
    >>> boring = jnp.repeat(image[:, None], 4, axis=1)
    >>> same = video_network.apply(video_variables, boring) - network.apply(variables, image)
    >>> bool(abs(same).max() < 1e-5)
    True
    """
    video = Inflated(network, **fields)
    clip = jax.ShapeDtypeStruct((1, 1, *image.shape[1:]), jnp.float32)
    keys = {name: jax.random.key(0) for name in ("params", "dropout")}
    wanted = flatten_dict(dict(jax.eval_shape(lambda clip: video.init(keys, clip), clip)))
    given = {
        (collection, "network", *path): leaf
        for collection, tree in variables.items()
        for path, leaf in flatten_dict(dict(tree)).items()
    }
    made = {}
    for path, leaf in wanted.items():
        value = given.get(path)
        grown = value is not None and jnp.ndim(value) == 4 and len(leaf.shape) == 5
        if grown:
            value = inflate_kernel(value, leaf.shape[0])
        if value is None or jnp.shape(value) != leaf.shape:
            found = "nothing" if value is None else f"shape {jnp.shape(value)}"
            raise ValueError(
                f"inflate: expected {'/'.join((path[0], *path[2:]))} of the image network, of "
                f"shape {leaf.shape} when inflated, got {found}"
            )
        made[path] = value
    return video, unflatten_dict(made)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _padding(module: Conv, sizes: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The padding of a convolution of images as pairs."""
    padding = module.padding
    if isinstance(padding, str):
        reach = [
            (k - 1) * d + 1 for k, d in zip(module.kernel_size, _pair(module.dilation), strict=True)
        ]
        return tuple(lax.padtype_to_pads(sizes, reach, _pair(module.strides), padding))
    if isinstance(padding, int):
        return ((padding, padding),) * 2
    return tuple(_pair(p) for p in padding)
