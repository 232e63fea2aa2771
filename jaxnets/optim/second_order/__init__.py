"""Second-order methods: L-BFGS, BFGS, Newton, their line search, and curvature."""

from jaxnets.optim.second_order.minimize import Result, minimize
