"""Pure functions on arrays: the mathematics, without Flax and without state."""

from jaxnets.ops.activations import relu
from jaxnets.ops.batch_norm import batch_norm, batch_norm_inference
from jaxnets.ops.convolution import conv
from jaxnets.ops.dense import dense
from jaxnets.ops.dropout import dropout, dropout_at_test
from jaxnets.ops.pooling import avg_pool, global_avg_pool, max_pool

__all__ = [
    "avg_pool",
    "batch_norm",
    "batch_norm_inference",
    "conv",
    "dense",
    "dropout",
    "dropout_at_test",
    "global_avg_pool",
    "max_pool",
    "relu",
]
