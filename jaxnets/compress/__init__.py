"""Smaller networks: pruning, weight sharing, Huffman coding, and files of them."""

from jaxnets.compress.arrays import EncodedArray, encode_array, encode_entries
from jaxnets.compress.bit_stream import BitStream, decode_symbols, encode_symbols
from jaxnets.compress.container import (
    CompressedFile,
    encode_variables,
    read_compressed,
    write_compressed,
)
from jaxnets.compress.deep_compression import Compressed, CompressionRecipe, Stage, deep_compress
from jaxnets.compress.filters import Smaller, remove_filters
from jaxnets.compress.huffman import HuffmanCode, entropy, huffman_code, mean_bits
from jaxnets.compress.int8 import (
    Int8,
    calibrate,
    integer_dense,
    quantize_activations,
    quantize_weights,
    quantized_apply,
    scale_and_zero,
    to_int8,
)
from jaxnets.compress.kmeans import KMeans, kmeans, starting_centroids
from jaxnets.compress.lottery import Ticket, lottery_tickets, sensitivity, sensitivity_figure
from jaxnets.compress.low_rank import Factors, factorize, factorize_network, low_rank_apply
from jaxnets.compress.masks import apply_mask, check_mask, density, magnitude_mask
from jaxnets.compress.pruning import (
    PruneState,
    PruningSchedule,
    find_mask,
    gradual,
    one_shot,
    prune,
)
from jaxnets.compress.published import Recompressed, StreamCost, recompress_published, stream_costs
from jaxnets.compress.relative_index import RelativeIndex, places_of, relative_index
from jaxnets.compress.report import LayerRow, decoded, layer_figure, layer_rows, layer_table
from jaxnets.compress.sharing import SharedWeights, TieState, share_weights, tie
from jaxnets.compress.small_arrays import (
    halve_vectors,
    merge_statistics,
    normalization_epsilons,
)
from jaxnets.compress.subject import Subject, published_subject, trained_subject
from jaxnets.compress.weights import weight_paths

__all__ = [
    "BitStream",
    "Compressed",
    "CompressedFile",
    "CompressionRecipe",
    "EncodedArray",
    "Factors",
    "HuffmanCode",
    "Int8",
    "KMeans",
    "LayerRow",
    "PruneState",
    "PruningSchedule",
    "Recompressed",
    "RelativeIndex",
    "SharedWeights",
    "Smaller",
    "Stage",
    "StreamCost",
    "Subject",
    "Ticket",
    "TieState",
    "apply_mask",
    "calibrate",
    "check_mask",
    "decode_symbols",
    "decoded",
    "deep_compress",
    "density",
    "encode_array",
    "encode_entries",
    "encode_symbols",
    "encode_variables",
    "entropy",
    "factorize",
    "factorize_network",
    "find_mask",
    "gradual",
    "halve_vectors",
    "huffman_code",
    "integer_dense",
    "kmeans",
    "layer_figure",
    "layer_rows",
    "layer_table",
    "lottery_tickets",
    "low_rank_apply",
    "magnitude_mask",
    "mean_bits",
    "merge_statistics",
    "normalization_epsilons",
    "one_shot",
    "places_of",
    "prune",
    "published_subject",
    "quantize_activations",
    "quantize_weights",
    "quantized_apply",
    "read_compressed",
    "recompress_published",
    "relative_index",
    "remove_filters",
    "scale_and_zero",
    "sensitivity",
    "sensitivity_figure",
    "share_weights",
    "starting_centroids",
    "stream_costs",
    "tie",
    "to_int8",
    "trained_subject",
    "weight_paths",
    "write_compressed",
]
