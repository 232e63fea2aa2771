"""Optimizers: on surfaces one can draw, on small networks, beside their peers."""
