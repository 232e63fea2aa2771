"""Ensembles: of networks, of a run's checkpoints and snapshots, by softmax or by weights."""

from jaxnets.ensembles.measure import (
    log_loss,
    mean_disagreement,
    measure_ensemble,
    pairwise_disagreement,
)
from jaxnets.ensembles.predict import (
    Ensemble,
    average_probabilities,
    ensemble_predict,
    stack_variables,
)
from jaxnets.ensembles.runs import describe_runs, load_ensemble, measure_runs
from jaxnets.ensembles.view_average import apply_to_views, predict_with_views
from jaxnets.ensembles.weights import average_checkpoints, average_weights

__all__ = [
    "Ensemble",
    "apply_to_views",
    "average_checkpoints",
    "average_probabilities",
    "average_weights",
    "describe_runs",
    "ensemble_predict",
    "load_ensemble",
    "log_loss",
    "mean_disagreement",
    "measure_ensemble",
    "measure_runs",
    "pairwise_disagreement",
    "predict_with_views",
    "stack_variables",
]
