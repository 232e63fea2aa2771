"""`auto`: which algorithm runs a convolution and its gradients, by shape, dtype and backend."""

from jaxnets.ops.convolution.bilinear import Plan
from jaxnets.ops.convolution.problem import Problem

DIRECT = Plan("direct", "direct", "direct")


def choose(problem: Problem, dtype, backend: str) -> Plan:
    """The plan for ``problem``."""
    return DIRECT
