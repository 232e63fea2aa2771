"""Transfer: freeze layers, probe features, unfreeze gradually, rates by layer, and advice."""

from jaxnets.transfer.advice import Advice, advise
from jaxnets.transfer.features import (
    compute_features,
    endpoint_features,
    head_inputs,
    set_head,
)
from jaxnets.transfer.fine_tuning import fine_tune
from jaxnets.transfer.freeze import (
    freeze,
    frozen_apply,
    keep,
    label_layers,
    transfer_state,
)
from jaxnets.transfer.layers import (
    copy_layers,
    count_trainable,
    head_layers,
    layer_groups,
    layer_names,
    layers_up_to,
)
from jaxnets.transfer.linear import LinearClassifier
from jaxnets.transfer.neighbors import nearest_neighbors
from jaxnets.transfer.probe import cross_validate, fit_linear_probe
from jaxnets.transfer.rates import layerwise_factors, scale_layers, unfreezing_phases
from jaxnets.transfer.similarity import measure_similarity

__all__ = [
    "Advice",
    "LinearClassifier",
    "advise",
    "compute_features",
    "copy_layers",
    "count_trainable",
    "cross_validate",
    "endpoint_features",
    "fine_tune",
    "fit_linear_probe",
    "freeze",
    "frozen_apply",
    "head_inputs",
    "head_layers",
    "keep",
    "label_layers",
    "layer_groups",
    "layer_names",
    "layers_up_to",
    "layerwise_factors",
    "measure_similarity",
    "nearest_neighbors",
    "scale_layers",
    "set_head",
    "transfer_state",
    "unfreezing_phases",
]
