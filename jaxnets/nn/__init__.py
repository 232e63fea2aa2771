"""Flax modules, thin over `jaxnets.ops`: they own parameters and state, ops own the mathematics."""

from jaxnets.nn.batch_norm import BatchNorm
from jaxnets.nn.conv import Conv
from jaxnets.nn.dense import Dense
from jaxnets.nn.dropout import Dropout

__all__ = ["BatchNorm", "Conv", "Dense", "Dropout"]
