"""Sequences: how far gradients reach, real recurrent networks, speed."""
