"""Pure functions on arrays: the mathematics, without Flax and without state."""

from jaxnets.ops.activation_analysis import (
    one_sided_share,
    sigmoid_gradient_bound,
    transcendentals,
)
from jaxnets.ops.activations import (
    ACTIVATIONS,
    elu,
    get_activation,
    identity,
    leaky_relu,
    maxout,
    prelu,
    relu,
    scaled_tanh,
    sigmoid,
    tanh,
)
from jaxnets.ops.attention import (
    attend,
    causal_mask,
    join_heads,
    split_heads,
)
from jaxnets.ops.attention_scores import (
    additive_scores,
    best_word_scores,
    dot_scores,
    multiplicative_scores,
)
from jaxnets.ops.attention_softmax import masked_softmax
from jaxnets.ops.batch_norm import batch_norm, batch_norm_inference, fold_batch_norm
from jaxnets.ops.beam_search import beam_search
from jaxnets.ops.conv_gru import conv_gru
from jaxnets.ops.convolution import conv
from jaxnets.ops.decoding import Decoded, greedy, sample
from jaxnets.ops.dense import dense
from jaxnets.ops.drop_connect import drop_connect, drop_connect_at_test, drop_connect_moments
from jaxnets.ops.drop_path import join_paths, keep_paths
from jaxnets.ops.dropout import dropout, dropout_at_test
from jaxnets.ops.fractional_pooling import fractional_max_pool
from jaxnets.ops.gaussian_noise import dropout_std, gaussian_noise
from jaxnets.ops.initializers import (
    fans,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    xavier_normal,
)
from jaxnets.ops.local_response_norm import local_response_norm
from jaxnets.ops.materialize import materialize
from jaxnets.ops.offset_pooling import interleave_offsets, offset_max_pool
from jaxnets.ops.particles import effective_sample_size, systematic_resample
from jaxnets.ops.pooling import adaptive_avg_pool, avg_pool, global_avg_pool, max_pool
from jaxnets.ops.positions import sinusoidal_positions
from jaxnets.ops.recurrent import RecurrentWeights, recurrent, recurrent_stack, recurrent_step
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS
from jaxnets.ops.recurrent_checks import length_mask
from jaxnets.ops.signal_propagation import activation_statistics, propagate, statistics_by_layer
from jaxnets.ops.stochastic_depth import (
    stochastic_depth,
    stochastic_depth_at_test,
    stochastic_depth_rates,
)
from jaxnets.ops.teacher_forcing import free_running, scheduled_sampling, teacher_forcing
from jaxnets.ops.warp_regions import warp_regions

__all__ = [
    "ACTIVATIONS",
    "RECURRENT_CELLS",
    "Decoded",
    "RecurrentWeights",
    "activation_statistics",
    "adaptive_avg_pool",
    "additive_scores",
    "attend",
    "avg_pool",
    "batch_norm",
    "batch_norm_inference",
    "beam_search",
    "best_word_scores",
    "causal_mask",
    "conv",
    "conv_gru",
    "dense",
    "dot_scores",
    "drop_connect",
    "drop_connect_at_test",
    "drop_connect_moments",
    "dropout",
    "dropout_at_test",
    "dropout_std",
    "effective_sample_size",
    "elu",
    "fans",
    "fold_batch_norm",
    "fractional_max_pool",
    "free_running",
    "gaussian_noise",
    "get_activation",
    "global_avg_pool",
    "glorot_normal",
    "glorot_uniform",
    "greedy",
    "he_normal",
    "he_uniform",
    "identity",
    "interleave_offsets",
    "join_heads",
    "join_paths",
    "keep_paths",
    "leaky_relu",
    "length_mask",
    "local_response_norm",
    "masked_softmax",
    "materialize",
    "max_pool",
    "maxout",
    "multiplicative_scores",
    "offset_max_pool",
    "one_sided_share",
    "prelu",
    "propagate",
    "recurrent",
    "recurrent_stack",
    "recurrent_step",
    "relu",
    "sample",
    "scaled_tanh",
    "scheduled_sampling",
    "sigmoid",
    "sigmoid_gradient_bound",
    "sinusoidal_positions",
    "split_heads",
    "statistics_by_layer",
    "stochastic_depth",
    "stochastic_depth_at_test",
    "stochastic_depth_rates",
    "systematic_resample",
    "tanh",
    "teacher_forcing",
    "transcendentals",
    "warp_regions",
    "xavier_normal",
]
