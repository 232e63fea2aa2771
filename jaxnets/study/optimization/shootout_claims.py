"""Which rate a method gets, and what the numbers say of common advice on optimizers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.study.optimization.shootout_runs import METHODS, Curves
from jaxnets.study.statistics import Interval, difference_interval, mean_interval

ADAM_DEFAULT = 1e-3
# "Within 2 %" of a test accuracy: two percentage points.
NEAR = 0.02


def choose_rate(curves: Curves) -> int:
    """The rate with the best mean accuracy on the validation part at the end.

    Among equals the one with the lowest training loss; a run that ended in NaN never wins.

    Args:
        curves: of shape (rates, keys, passes + 1).

    Returns:
        Its index in the grid.
    """
    accuracy = curves.valid_accuracy[..., -1].mean(1)
    loss = curves.train_loss[..., -1].mean(1)
    finite = np.isfinite(loss)
    order = np.lexsort((np.where(finite, loss, np.inf), -np.where(finite, accuracy, -1)))
    return int(order[0])


def summarize(curves: Curves, rates: Sequence[float]) -> dict[str, Any]:
    """The chosen rate's numbers, and how many decades of rates would have done about as well.

    Args:
        curves: of shape (rates, keys, passes + 1).
        rates: the grid.

    Returns:
        {"rate", "test_accuracy", "test_accuracy_half", "train_loss", "train_loss_half",
        "decades_within_2_points", "by_rate"}; halves are of 95 % intervals over keys.
    """
    chosen = choose_rate(curves)
    test = curves.test_accuracy[..., -1].mean(1)
    near = test >= test.max() - NEAR
    accuracy = mean_interval(curves.test_accuracy[chosen, :, -1])
    loss = mean_interval(curves.train_loss[chosen, :, -1])
    by_rate = [mean_interval(keys) for keys in curves.test_accuracy[..., -1]]
    gaps = np.diff(np.log10(rates))
    # Each rate stands for half the way to its neighbors.
    width = np.concatenate([[gaps[0]], (gaps[1:] + gaps[:-1]) / 2, [gaps[-1]]])
    return {
        "rate": float(rates[chosen]),
        "test_accuracy": accuracy.estimate,
        "test_accuracy_half": accuracy.half,
        "train_loss": loss.estimate,
        "train_loss_half": loss.half,
        # Rounded: equal grids must not differ in the last bit of a logarithm.
        "decades_within_2_points": round(float(width[near].sum()), 6),
        "by_rate": [(i.estimate, i.half) for i in by_rate],
    }


def summarize_full_batch(curves: Curves, passes: np.ndarray) -> dict[str, float]:
    """The numbers of L-BFGS after its largest budget.

    Args:
        curves: of shape (keys, budgets).
        passes: of the same shape.

    Returns:
        {"test_accuracy", "test_accuracy_half", "train_loss", "train_loss_half", "passes"}.
    """
    test = mean_interval(curves.test_accuracy[:, -1])
    loss = mean_interval(curves.train_loss[:, -1])
    return {
        "test_accuracy": test.estimate,
        "test_accuracy_half": test.half,
        "train_loss": loss.estimate,
        "train_loss_half": loss.half,
        "passes": float(passes[:, -1].mean()),
    }


def judge(
    found: dict[str, Curves], lbfgs: tuple[Curves, np.ndarray], rates: Sequence[float]
) -> dict[str, dict[str, Any]]:
    """The claims, each with its numbers and a verdict.

    Args:
        found: curves of "adam", "momentum" and "momentum_cosine".
        lbfgs: of `full_batch`.
        rates: the grid.

    Returns:
        By name {"claim", numbers …, "verdict": "holds", "fails", "undecided" or "holds later"}.
    """
    adam = found["adam"]
    default = int(np.argmin(np.abs(np.log(rates) - np.log(ADAM_DEFAULT))))
    test = adam.test_accuracy[..., -1].mean(1)
    claims = {
        "adam_default_within_2_points": {
            "claim": "Adam at 0.001 is within 2 points of its best rate (test)",
            "gap": float(test.max() - test[default]),
            "best_rate": float(rates[int(np.argmax(test))]),
            "verdict": "holds" if test.max() - test[default] <= NEAR else "fails",
        }
    }
    at_default = adam.test_accuracy[default, :, -1]
    at_best = adam.test_accuracy[choose_rate(adam), :, -1]
    for method in ("momentum", "momentum_cosine"):
        tuned = found[method].test_accuracy[choose_rate(found[method]), :, -1]
        for rival, accuracy in (("default", at_default), ("tuned", at_best)):
            difference = difference_interval(tuned, accuracy)
            claims[f"{method}_against_{rival}_adam"] = {
                "claim": f"tuned {method.replace('_', ' + ')} is at least {rival} Adam (test)",
                "difference": difference.estimate,
                "half": difference.half,
                "verdict": _sign(difference),
            }
    spread = {m: summarize(c, rates)["decades_within_2_points"] for m, c in found.items()}
    claims["momentum_needs_more_tuning"] = {
        "claim": "SGD + momentum has fewer rates within 2 points of its best than Adam",
        "decades": spread,
        "verdict": "holds" if spread["momentum"] < spread["adam"] else "fails",
    }
    claims["lbfgs_lower_per_pass"] = _per_pass(found, lbfgs)
    return claims


def _sign(difference: Interval) -> str:
    if not difference.excludes(0.0):
        return "undecided"
    return "holds" if difference.estimate > 0 else "fails"


def _per_pass(found: dict[str, Curves], lbfgs: tuple[Curves, np.ndarray]) -> dict[str, Any]:
    """Mean training loss at equal passes, against two rivals.

    `chosen` is the lowest of the methods at the rate that validation chose; `hindsight` the lowest
    of all methods and rates at that very pass, which no single run reaches throughout.
    """
    curves, passes = lbfgs
    most = min(next(iter(found.values())).train_loss.shape[-1] - 1, int(passes.max(1).min()))
    rows = []
    for column in range(curves.train_loss.shape[1]):
        # The slowest key decides which pass it is compared at.
        at = int(passes[:, column].max())
        if at > most:
            break
        means = {m: c.train_loss[..., at].mean(1) for m, c in found.items()}
        rows.append(
            {
                "passes": at,
                "lbfgs": float(curves.train_loss[:, column].mean()),
                "chosen": float(min(v[choose_rate(found[m])] for m, v in means.items())),
                "hindsight": float(min(np.nanmin(v) for v in means.values())),
            }
        )
    since = {rival: _lower_since(rows, rival) for rival in ("chosen", "hindsight")}
    first = rows[0]["passes"] if rows else None
    if since["chosen"] is None:
        verdict = "fails"
    else:
        verdict = "holds" if since["chosen"] == first else "holds later"
    return {
        "claim": "L-BFGS has the lower training loss per pass over the data",
        "at": rows,
        "lower_than_chosen_from_pass": since["chosen"],
        "lower_than_hindsight_from_pass": since["hindsight"],
        "verdict": verdict,
    }


def _lower_since(rows: list[dict], rival: str) -> int | None:
    """The first pass from which on L-BFGS stays below the rival."""
    since = None
    for row in reversed(rows):
        if not row["lbfgs"] < row[rival]:
            break
        since = row["passes"]
    return since


def report(entry: dict[str, Any]) -> str:
    """A table of the methods and a line for each claim.

    Args:
        entry: {"title", "keys", "passes", "methods", "lbfgs", "claims"}, the last three by
            `summarize`, `summarize_full_batch` and `judge`.

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
