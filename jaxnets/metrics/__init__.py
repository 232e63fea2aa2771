"""Metrics: predictions and labels in, numbers to report out."""

from jaxnets.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from jaxnets.metrics.classification import accuracy, confusion_matrix, top_k_accuracy
from jaxnets.metrics.dead_units import DeadUnitMonitor, alive_units, dead_ratio
from jaxnets.metrics.templates import TemplatePlane, template_plane, within_between_ratio

__all__ = [
    "DeadUnitMonitor",
    "Reliability",
    "TemplatePlane",
    "accuracy",
    "alive_units",
    "confusion_matrix",
    "dead_ratio",
    "expected_calibration_error",
    "fit_temperature",
    "reliability",
    "template_plane",
    "top_k_accuracy",
    "within_between_ratio",
]
