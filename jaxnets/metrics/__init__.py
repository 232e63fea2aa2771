"""Metrics: predictions and labels in, numbers to report out."""

from jaxnets.metrics.classification import accuracy, confusion_matrix, top_k_accuracy

__all__ = ["accuracy", "confusion_matrix", "top_k_accuracy"]
