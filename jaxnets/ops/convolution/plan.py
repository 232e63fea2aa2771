"""`Plan`: which algorithm runs a convolution and which run its two gradients."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """Which algorithm runs each of the three functions.

    Attributes:
        forward, input_gradient, kernel_gradient: names in
            `jaxnets.ops.convolution.algorithms.ALGORITHMS`.
    """

    forward: str
    input_gradient: str
    kernel_gradient: str


DIRECT = Plan("direct", "direct", "direct")
