"""Second-order methods: L-BFGS, BFGS, Newton, their line search, and curvature."""

from jaxnets.optim.second_order.curvature import (
    gradient_curvature,
    hutchinson_trace,
    hvp,
    lanczos,
    trajectory_curvature,
)
from jaxnets.optim.second_order.descent import Status, Trace
from jaxnets.optim.second_order.line_search import WolfeRule
from jaxnets.optim.second_order.minimizer import METHODS, Result, default_memory, minimize
from jaxnets.optim.second_order.stochastic import multi_batch_gradients, multi_batch_lbfgs

__all__ = [
    "METHODS",
    "Result",
    "Status",
    "Trace",
    "WolfeRule",
    "default_memory",
    "gradient_curvature",
    "hutchinson_trace",
    "hvp",
    "lanczos",
    "minimize",
    "multi_batch_gradients",
    "multi_batch_lbfgs",
    "trajectory_curvature",
]
