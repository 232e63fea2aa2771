"""Convolution, one function with many algorithms."""

from jaxnets.ops.convolution.api import conv

__all__ = ["conv"]
