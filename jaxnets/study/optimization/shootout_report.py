"""What a comparison of optimizers prints and stores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.study.optimization.shootout_runs import METHODS


def report(entry: dict[str, Any]) -> str:
    """A table of the methods and a line for each claim.

    Args:
        entry: {"title", "keys", "passes", "methods", "lbfgs", "claims"}, the last three by
            `shootout_claims`.

    Returns:
        Lines of text.
    """
    lines = [f"{entry['title']}; {entry['keys']} keys, {entry['passes']} passes"]
    lines.append(
        f"  {'':34}{'rate':>8}{'test accuracy %':>18}{'training objective':>22}{'decades':>9}"
    )

    def row(label, rate, e, decades=""):
        accuracy = f"{100 * e['test_accuracy']:.2f} ± {100 * e['test_accuracy_half']:.2f}"
        loss = f"{e['train_loss']:.4f} ± {e['train_loss_half']:.4f}"
        return f"  {label:<34}{rate:>8}{accuracy:>18}{loss:>22}{decades:>9}"

    for method, e in entry["methods"].items():
        decades = f"{e['decades_within_2_points']:.1f}"
        lines.append(row(METHODS[method], f"{e['rate']:.3g}", e, decades))
    passes = entry["lbfgs"]["passes"]
    lines.append(row(f"L-BFGS, full batch, {passes:.0f} passes", "–", entry["lbfgs"]))
    for claim in entry["claims"].values():
        lines.append(f"  {claim['verdict']:<12}{claim['claim']}{_numbers(claim)}")
    return "\n".join(lines)


def _numbers(claim: dict[str, Any]) -> str:
    if "gap" in claim:
        return f": {100 * claim['gap']:.2f} points below {claim['best_rate']:.3g}"
    if "difference" in claim:
        return f": {100 * claim['difference']:+.2f} ± {100 * claim['half']:.2f} points"
    if "decades" in claim:
        decades = claim["decades"]
        return f": {decades['momentum']:.1f} decades against {decades['adam']:.1f}"
    return "".join(
        f"; than {rival}: " + ("never" if since is None else f"from pass {since} on")
        for rival, since in (
            ("the chosen rates", claim["lower_than_chosen_from_pass"]),
            ("the best rate at each pass", claim["lower_than_hindsight_from_pass"]),
        )
    )


def as_json(value: Any) -> Any:
    """A value for JSON: paths as text, numbers that are not finite as None.

    >>> as_json({"workdir": Path("runs"), "half": float("nan"), "rates": (0.1, 1.0)})
    {'workdir': 'runs', 'half': None, 'rates': [0.1, 1.0]}
    """
    if isinstance(value, dict):
        return {k: as_json(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [as_json(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
