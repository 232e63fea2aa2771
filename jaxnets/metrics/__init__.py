"""Metrics: predictions and labels in, numbers to report out."""

from jaxnets.metrics.classification import accuracy, confusion_matrix, top_k_accuracy
from jaxnets.metrics.dead_units import DeadUnitMonitor, alive_units, dead_ratio

__all__ = [
    "DeadUnitMonitor",
    "accuracy",
    "alive_units",
    "confusion_matrix",
    "dead_ratio",
    "top_k_accuracy",
]
