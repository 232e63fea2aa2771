"""Flax modules, thin over `jaxnets.ops`: they own parameters and state, ops own the mathematics."""

from jaxnets.nn.batch_norm import BatchNorm
from jaxnets.nn.conv import Conv
from jaxnets.nn.dense import Dense
from jaxnets.nn.dropout import Dropout
from jaxnets.nn.fold_batch_norm import fold_batch_norms
from jaxnets.nn.local_response_norm import LocalResponseNorm
from jaxnets.nn.maxout import Maxout
from jaxnets.nn.precise_batch_norm import precise_batch_statistics
from jaxnets.nn.prelu import PReLU

__all__ = [
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "LocalResponseNorm",
    "Maxout",
    "PReLU",
    "fold_batch_norms",
    "precise_batch_statistics",
]
