"""Losses: logits or predictions and labels in, a scalar out."""

from jaxnets.losses.confidence_penalty import confidence_penalty, entropy
from jaxnets.losses.cross_entropy import cross_entropy
from jaxnets.losses.label_smoothing import smooth_labels, smoothed_logit_gap

__all__ = [
    "confidence_penalty",
    "cross_entropy",
    "entropy",
    "smooth_labels",
    "smoothed_logit_gap",
]
