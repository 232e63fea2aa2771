"""Flax modules, thin over `jaxnets.ops`: they own parameters and state, ops own the mathematics."""

from jaxnets.nn.conv import Conv

__all__ = ["Conv"]
