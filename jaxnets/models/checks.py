"""What every network asks of its input, said in words when it does not hold."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def check_images(
    network: nn.Module,
    x: jax.Array | jax.ShapeDtypeStruct,
    *,
    smallest: int = 1,
    stem: str | None = None,
    channels: int | None = None,
) -> None:
    """Check a batch of images (N, H, W, C) against what a network can take, at trace time.

    Args:
        network: the bound network, named in the message.
        x: the images.
        smallest: the least height and width that every feature map survives.
        stem: name of the layer that sees the images; where it has parameters already, their
            number of input channels must be the images'. A path inside: "conv1/conv".
        channels: the number of channels, where the network fixes it.

    Raises:
        ValueError: says what came and what was expected.
    """
    who = type(network).__name__
    if x.ndim != 4:
        raise ValueError(
            f"{who}: expected images of shape (batch, height, width, channels), "
            f"got {x.ndim} axes: {x.shape}. A single image needs x[None]."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{who}: expected floating-point images, got {x.dtype}. "
            "Scale them first: x.astype(float32) / 255, then subtract the mean, divide by the std."
        )
    if min(x.shape[1:3]) < smallest:
        raise ValueError(
            f"{who}: expected height and width of at least {smallest}, got {x.shape[1:3]}. "
            "Resize the images or take a network with fewer strides."
        )
    if channels is None and stem is not None:
        channels = stem_channels(network, stem)
    if channels is not None and x.shape[-1] != channels:
        raise ValueError(
            f"{who}: expected images with {channels} channels, got {x.shape[-1]} "
            f"(shape {x.shape}; the last axis holds the channels)."
        )


def check_clips(
    network: nn.Module,
    x: jax.Array,
    *,
    frames: int = 1,
    smallest: int = 1,
    stem: str | None = None,
    exact: bool = False,
) -> None:
    """Check a batch of clips (N, T, H, W, C) against what a network can take, at trace time.

    Args:
        network: the bound network, named in the message.
        x: the clips.
        frames: the least number of frames.
        smallest: the least height and width.
        stem: see `check_images`.
        exact: the network takes ``frames`` frames, no more.

    Raises:
        ValueError: says what came and what was expected.
    """
    who = type(network).__name__
    if x.ndim != 5:
        raise ValueError(
            f"{who}: expected clips of shape (batch, time, height, width, channels), got {x.ndim} "
            f"axes: {x.shape}. A single clip needs x[None]."
        )
    if x.shape[1] < frames or (exact and x.shape[1] != frames):
        raise ValueError(
            f"{who}: expected clips of {'' if exact else 'at least '}{frames} frames, got "
            f"{x.shape[1]} (shape {x.shape}; the second axis is time)."
        )
    # Every frame is an image; the message of its fault is that of images.
    frame = jax.ShapeDtypeStruct((x.shape[0], *x.shape[2:]), x.dtype)
    check_images(network, frame, smallest=smallest, stem=stem)


def stem_channels(network: nn.Module, stem: str) -> int | None:
    """Input channels of the stem's kernel, None where there is none yet (initialization)."""
    node: Any = network.variables.get("params", {})
    for part in (*stem.split("/"), "kernel"):
        if part not in node:
            return None
        node = node[part]
    return node.shape[-2]
