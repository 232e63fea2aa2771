"""Losses: logits or predictions and labels in, a scalar out."""

from jaxnets.losses.cross_entropy import cross_entropy

__all__ = ["cross_entropy"]
