"""Pure functions on arrays: the mathematics, without Flax and without state."""

from jaxnets.ops.convolution import conv

__all__ = ["conv"]
