"""Look into a network without running it: layer table, receptive fields, principles, cards."""

from jaxnets.inspect.accuracy import TORCHVISION_V1, Accuracy, accuracies
from jaxnets.inspect.cards import model_cards
from jaxnets.inspect.gradient_paths import (
    GradientPaths,
    frozen_gates,
    gradient_through_depth,
    gradient_through_time,
)
from jaxnets.inspect.layer import Layer, Trace
from jaxnets.inspect.principles import Check, Stage, check_principles, checks_of, stages
from jaxnets.inspect.sequence_paths import path_length, reach, sequential_products
from jaxnets.inspect.sparse_structure import (
    SparseLayer,
    cluster_units,
    dense_branches,
    energy_in_best_cluster,
    propose_sparse_layer,
    spatial_reach,
    unit_correlations,
)
from jaxnets.inspect.table import (
    Totals,
    as_markdown,
    as_text,
    layer_table,
    receptive_fields,
    totals,
    trace,
)
from jaxnets.inspect.trace import trace_network

__all__ = [
    "TORCHVISION_V1",
    "Accuracy",
    "Check",
    "GradientPaths",
    "Layer",
    "SparseLayer",
    "Stage",
    "Totals",
    "Trace",
    "accuracies",
    "as_markdown",
    "as_text",
    "check_principles",
    "checks_of",
    "cluster_units",
    "dense_branches",
    "energy_in_best_cluster",
    "frozen_gates",
    "gradient_through_depth",
    "gradient_through_time",
    "layer_table",
    "model_cards",
    "path_length",
    "propose_sparse_layer",
    "reach",
    "receptive_fields",
    "sequential_products",
    "spatial_reach",
    "stages",
    "totals",
    "trace",
    "trace_network",
    "unit_correlations",
]
