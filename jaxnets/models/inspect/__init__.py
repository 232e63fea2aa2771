"""Look into a network without running it: layer table, receptive fields, principles, cards."""

from jaxnets.models.inspect.accuracy import TORCHVISION_V1, Accuracy, accuracies
from jaxnets.models.inspect.cards import model_cards
from jaxnets.models.inspect.layer import Layer, Trace
from jaxnets.models.inspect.principles import Check, Stage, check_principles, checks_of, stages
from jaxnets.models.inspect.table import (
    Totals,
    as_markdown,
    as_text,
    layer_table,
    receptive_fields,
    totals,
    trace,
)
from jaxnets.models.inspect.trace import trace_network

__all__ = [
    "TORCHVISION_V1",
    "Accuracy",
    "Check",
    "Layer",
    "Stage",
    "Totals",
    "Trace",
    "accuracies",
    "as_markdown",
    "as_text",
    "check_principles",
    "checks_of",
    "layer_table",
    "model_cards",
    "receptive_fields",
    "stages",
    "totals",
    "trace",
    "trace_network",
]
