"""Losses: logits or predictions and labels in, a scalar out."""

from jaxnets.losses.confidence_penalty import confidence_penalty, entropy
from jaxnets.losses.contrastive import contrastive_distillation_loss
from jaxnets.losses.cross_entropy import cross_entropy
from jaxnets.losses.distillation import distillation_loss, soft_target_loss
from jaxnets.losses.hard_attention import doubly_stochastic, drawn_attention_loss
from jaxnets.losses.hints import attention_map, attention_transfer_loss, hint_loss
from jaxnets.losses.label_smoothing import smooth_labels, smoothed_logit_gap
from jaxnets.losses.relational import relational_angle_loss, relational_distance_loss
from jaxnets.losses.tolerance import tolerant_cross_entropy, top_class_gap

__all__ = [
    "attention_map",
    "attention_transfer_loss",
    "confidence_penalty",
    "contrastive_distillation_loss",
    "cross_entropy",
    "distillation_loss",
    "doubly_stochastic",
    "drawn_attention_loss",
    "entropy",
    "hint_loss",
    "relational_angle_loss",
    "relational_distance_loss",
    "smooth_labels",
    "smoothed_logit_gap",
    "soft_target_loss",
    "tolerant_cross_entropy",
    "top_class_gap",
]
