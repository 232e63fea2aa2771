"""Four things that first-order rules do, walked on the simplest functions and beside a formula.

Source: Goodfellow, Bengio, Courville, "Deep Learning" (2016), sections 8.2, 8.3 and 8.5; the
momentum recursion: Goh, "Why momentum really works", Distill (2017).
"""

from typing import Any

import numpy as np

from jaxnets import optim
from jaxnets.study.optimization.landscapes import RULES, SURFACES, walk

Curves = dict[str, dict[str, Any]]


def behavior() -> dict[str, Curves]:
    """`oscillation`, `overshoot`, `vanishing` and `escape` by these names.

    Returns:
        The curves of each.
    """
    return {
        "oscillation": oscillation(),
        "overshoot": overshoot(),
        "vanishing": vanishing(),
        "escape": escape(),
    }


def _bowl(x):
    return x * x / 2


def oscillation(steps: int = 60) -> Curves:
    """Gradient descent on x²/2: x_t = (1 − ηλ)^t swings for ηλ > 1 and diverges for ηλ > 2.

    Args:
        steps: updates.

    Returns:
        By rate {"path", "formula", "sign_changes", "final_size"}.
    """
    found = {}
    for rate in (0.5, 1.5, 1.95, 2.02):
        path = np.asarray(walk(_bowl, optim.sgd(rate), 1.0, steps))
        found[f"ηλ = {rate:g}"] = {
            "path": path,
            "formula": (1 - rate) ** np.arange(steps + 1.0),
            "sign_changes": int((np.diff(np.sign(path)) != 0).sum()),
            "final_size": float(abs(path[-1])),
        }
    return found


def overshoot(steps: int = 150) -> Curves:
    """Momentum on x²/2 with ηλ = 0.1: x_{t+1} = (1 + ρ − ηλ)x_t − ρx_{t−1} overshoots.

    The formula is the sum of powers of the roots of z² − (1 + ρ − ηλ)z + ρ.

    Args:
        steps: updates.

    Returns:
        By ρ {"path", "formula", "overshoot" (how far beyond the minimum)}.
    """
    found = {}
    for rho in (0.0, 0.5, 0.9, 0.97):
        path = np.asarray(walk(_bowl, optim.momentum(0.1, rho), 1.0, steps))
        roots = np.roots([1, -(1 + rho - 0.1), rho]).astype(complex)
        weights = np.linalg.solve(np.array([[1, 1], roots]), np.array([1, 0.9], complex))
        formula = (weights * roots ** np.arange(steps + 1)[:, None]).sum(1).real
        found[f"ρ = {rho:g}"] = {
            "path": path,
            "formula": formula,
            "overshoot": float(max(0.0, -path.min())),
        }
    return found


def vanishing(steps: int = 1000) -> Curves:
    """Lengths of the steps under a constant gradient of 1, η = 0.1: AdaGrad's fall as η/√t.

    Args:
        steps: updates.

    Returns:
        By rule {"path" (lengths), "formula", "slope" (of log length over log t)}.
    """
    t = np.arange(1, steps + 1)
    found = {}
    for name, rule, formula in (
        ("AdaGrad", optim.adagrad(0.1), 0.1 / np.sqrt(t)),
        ("RMSProp", optim.rmsprop(0.1, decay=0.9), 0.1 / np.sqrt(1 - 0.9**t)),
        ("Adam", optim.adam(0.1), np.full(steps, 0.1)),
    ):
        # A plane: the gradient is one everywhere.
        lengths = -np.diff(np.asarray(walk(lambda x: x, rule, 0.0, steps), np.float64))
        slope = np.polyfit(np.log(t[steps // 10 :]), np.log(lengths[steps // 10 :]), 1)[0]
        found[name] = {"path": lengths, "formula": formula, "slope": float(slope)}
    return found


def escape(steps: int = 200) -> Curves:
    """|y| on the saddle x² − y² from y = 0.001, η = 0.05: gradient descent grows as 1.1^t.

    Args:
        steps: updates.

    Returns:
        By rule {"path" (|y|), "steps_to_escape" (|y| > 1)}; gradient descent with a "formula".
    """
    saddle, found = SURFACES["saddle"], {}
    for name in ("sgd", "momentum", "adagrad", "adam"):
        label, build = RULES[name]
        height = np.abs(np.asarray(walk(saddle.value, build(0.05), saddle.start, steps))[:, 1])
        outside = np.flatnonzero(height > 1)
        found[label] = {
            "path": height,
            "steps_to_escape": int(outside[0]) if len(outside) else None,
        }
    found["gradient descent"]["formula"] = 1e-3 * 1.1 ** np.arange(steps + 1)
    return found
