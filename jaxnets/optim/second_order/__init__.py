"""Second-order methods: L-BFGS, BFGS, Newton, their line search, and curvature.

`minimize` runs one of them as a single compiled loop. It is made of two parts that can be taken
apart: a `SearchDirection` (`BFGS`, `LBFGS`, `LBFGSB`, `Newton`, `NewtonCG`, or one of your own) and
the descent along it, `descend`, with a `StrongWolfe` line search.
"""

from jaxnets.optim.second_order.bfgs import BFGS
from jaxnets.optim.second_order.curvature import (
    gradient_curvature,
    hutchinson_trace,
    hvp,
    lanczos,
    trajectory_curvature,
)
from jaxnets.optim.second_order.descent import descend
from jaxnets.optim.second_order.direction import Direction, SearchDirection
from jaxnets.optim.second_order.lbfgs import LBFGS
from jaxnets.optim.second_order.lbfgsb import LBFGSB
from jaxnets.optim.second_order.memory_size import default_memory_size, default_memory_size_for
from jaxnets.optim.second_order.minimizer import METHODS, minimize
from jaxnets.optim.second_order.newton import Newton, NewtonCG
from jaxnets.optim.second_order.result import Result, Status, Trace
from jaxnets.optim.second_order.stochastic import multi_batch_gradients, multi_batch_lbfgs
from jaxnets.optim.second_order.wolfe import StrongWolfe

__all__ = [
    "BFGS",
    "LBFGS",
    "LBFGSB",
    "METHODS",
    "Direction",
    "Newton",
    "NewtonCG",
    "Result",
    "SearchDirection",
    "Status",
    "StrongWolfe",
    "Trace",
    "default_memory_size",
    "default_memory_size_for",
    "descend",
    "gradient_curvature",
    "hutchinson_trace",
    "hvp",
    "lanczos",
    "minimize",
    "multi_batch_gradients",
    "multi_batch_lbfgs",
    "trajectory_curvature",
]
