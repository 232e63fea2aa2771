"""Ensembles: of networks, of a run's checkpoints and snapshots, by softmax or by weights."""

from jaxnets.train.ensembles.measure import (
    log_loss,
    mean_disagreement,
    measure_ensemble,
    pairwise_disagreement,
)
from jaxnets.train.ensembles.predict import (
    Ensemble,
    average_probabilities,
    ensemble_predict,
    stack_variables,
)
from jaxnets.train.ensembles.runs import load_ensemble, train_and_keep
from jaxnets.train.ensembles.weights import average_checkpoints, average_weights

__all__ = [
    "Ensemble",
    "average_checkpoints",
    "average_probabilities",
    "average_weights",
    "ensemble_predict",
    "load_ensemble",
    "log_loss",
    "mean_disagreement",
    "measure_ensemble",
    "pairwise_disagreement",
    "stack_variables",
    "train_and_keep",
]
