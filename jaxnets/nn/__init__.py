"""Flax modules, thin over `jaxnets.ops`: they own parameters and state, ops own the mathematics."""

from jaxnets.nn.attention import Attend, MultiHeadAttention, Positions
from jaxnets.nn.batch_norm import BatchNorm
from jaxnets.nn.conv import Conv
from jaxnets.nn.conv_gru import ConvGRU
from jaxnets.nn.dense import Dense
from jaxnets.nn.drop_connect import DropConnect
from jaxnets.nn.dropout import Dropout
from jaxnets.nn.factorized import Factorized, separate
from jaxnets.nn.fold_batch_norm import fold_batch_norms
from jaxnets.nn.fractional_max_pool import FractionalMaxPool
from jaxnets.nn.gaussian_noise import GaussianNoise
from jaxnets.nn.int8_inference import QuantizedModel, quantize_for_inference
from jaxnets.nn.local_response_norm import LocalResponseNorm
from jaxnets.nn.maxout import Maxout
from jaxnets.nn.optimize_for_inference import OptimizedModel, optimize_for_inference
from jaxnets.nn.precise_batch_norm import precise_batch_statistics
from jaxnets.nn.prelu import PReLU
from jaxnets.nn.recurrent import Recurrent
from jaxnets.nn.stochastic_depth import StochasticDepth

__all__ = [
    "Attend",
    "BatchNorm",
    "Conv",
    "ConvGRU",
    "Dense",
    "DropConnect",
    "Dropout",
    "Factorized",
    "FractionalMaxPool",
    "GaussianNoise",
    "LocalResponseNorm",
    "Maxout",
    "MultiHeadAttention",
    "OptimizedModel",
    "PReLU",
    "Positions",
    "QuantizedModel",
    "Recurrent",
    "StochasticDepth",
    "fold_batch_norms",
    "optimize_for_inference",
    "precise_batch_statistics",
    "quantize_for_inference",
    "separate",
]
