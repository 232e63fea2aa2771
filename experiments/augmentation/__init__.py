"""Augmentation: what it costs, and what it looks like."""
