"""The same network with and without batch normalization, over learning rates and scales."""

from dataclasses import dataclass, replace

import jax
import numpy as np

from experiments.claims.measures.racing import Halving, fastest
from experiments.claims.measures.small_networks import Kind, SmallNetwork
from jaxnets import optim
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_least, below, effect, points, ratio
from jaxnets.study.figures import COLORS, curves_and_dots, dots, new_figure
from jaxnets.study.training import Runs, best

NAMES = {True: "with BN", False: "without"}


@dataclass(frozen=True, kw_only=True)
class Sweep(TrainingSettings):
    """Learning rates and factors on He's initial weights, in pairs.

    Attributes:
        kind, widths: of the network, see `SmallNetwork`.
        rates, scales: as many of the one as of the other, or one.
    """

    kind: Kind = "dense"
    widths: tuple[int, ...] = (64, 64, 64, 64)
    rates: tuple[float, ...] = tuple(float(0.05 * 2**k) for k in range(12))
    scales: tuple[float, ...] = (1.0,)
    steps: int = 400
    evaluations: int = 40


def _sgd(value):
    return optim.sgd(value["rate"])


def _scaled(params, value):
    """Every hidden layer's weights × scale."""
    return {
        name: jax.tree.map(lambda w: w * value["scale"] if w.ndim > 1 else w, layer)
        if name.startswith("hidden")
        else layer
        for name, layer in params.items()
    }


def _values(settings: Sweep) -> dict[str, np.ndarray]:
    count = max(len(settings.rates), len(settings.scales))
    return {
        "rate": np.broadcast_to(np.float32(settings.rates), (count,)),
        "scale": np.broadcast_to(np.float32(settings.scales), (count,)),
    }


def _network(settings: Sweep, norm: bool) -> SmallNetwork:
    return SmallNetwork(settings.kind, settings.widths, norm=norm)


def train(settings: Sweep, norm: bool, **options) -> Runs:
    """Leading axis: rates, or scales where there is one rate."""
    values = _values(settings)
    return settings.runs(_network(settings, norm), _sgd, values, start=_scaled, **options)


@dataclass(frozen=True, kw_only=True)
class Race(Sweep, Halving):
    """Steps to a training loss, at the best rate of each."""

    target: float = 0.1


def speed(settings: Race) -> Outcome:
    """Does batch normalization reach a training loss in fewer steps?"""
    target = settings.target
    found = {
        norm: fastest(
            settings,
            _network(settings, norm),
            _sgd,
            _values(settings),
            quantity="train_loss",
            target=target,
            start=_scaled,
        )
        for norm in (True, False)
    }
    figure = curves_and_dots(
        found[True].steps,
        {f"{NAMES[n]}, rate {settings.rates[one.place]:g}": one.curve for n, one in found.items()},
        {NAMES[norm]: one.needed for norm, one in found.items()},
        left={"xlabel": "step", "ylabel": "training loss", "yscale": "log", "ylim": (1e-3, 4)},
        right={"xlabel": f"steps to a training loss of {target:g}", "xlim": (0, None)},
        line=target,
    )
    return Outcome(
        effects=[
            ratio(
                "steps needed, without BN / with",
                found[False].needed / found[True].needed,
                above(1),
            )
        ],
        figure=figure,
    )


def trains(loss: np.ndarray) -> np.ndarray:
    """Whether a run ended below the loss of guessing."""
    return np.isfinite(loss) & (loss < np.log(10))


def largest_that_trains(loss: np.ndarray, rates) -> np.ndarray:
    """Per key, the largest rate up to which no run ends above its chance level; (keys,)."""
    count = np.logical_and.accumulate(trains(loss), axis=0).sum(0)
    # Nothing works: half of the smallest rate tried.
    ladder = np.concatenate([[rates[0] / 2], rates])
    return ladder[count]


def climb(settings: Sweep, norm: bool) -> np.ndarray:
    """Last training losses (rates tried, keys): up the rates until one trains with no key."""
    losses = []
    for rate in settings.rates:
        runs = train(
            replace(settings, rates=(rate,)),
            norm,
            until=lambda found: not bool(np.isfinite(found["train_loss"])),
        )
        losses.append(runs.train_loss[0, :, -1])
        if not trains(losses[-1]).any():
            break
    return np.stack(losses)


def largest_rates(settings: Sweep) -> Outcome:
    """How much larger may the learning rate be with batch normalization?"""
    rates = np.asarray(settings.rates)
    loss = {norm: climb(settings, norm) for norm in (True, False)}
    limit = {norm: largest_that_trains(value, rates) for norm, value in loss.items()}
    figure, (left, right) = new_figure(2)
    for color, (norm, value) in zip(COLORS, loss.items(), strict=False):
        shown = np.where(np.isfinite(value), np.clip(value, 1e-4, 10), 10)
        tried = rates[: len(shown)]
        left.loglog(tried, shown, "o", color=color, ms=3, alpha=0.4)
        left.loglog(tried, np.median(shown, 1), color=color, label=NAMES[norm])
    left.axhline(np.log(10), color="0.5", lw=1, ls="--")
    left.set(xlabel="learning rate", ylabel="last training loss (10: diverged)", ylim=(1e-4, 13))
    left.legend(loc="lower right")
    right.set_xscale("log")
    dots(right, list(NAMES.values()), [limit[norm] for norm in NAMES])
    right.set(xlabel="largest rate that ends below chance level")
    censored = (limit[True] == rates[-1]).mean()
    return Outcome(
        effects=[
            ratio(
                "largest rate that trains, with BN / without",
                limit[True] / limit[False],
                at_least(5),
            )
        ],
        figure=figure,
        remarks=[
            f"With BN {100 * censored:.0f} % of the keys still train at the largest rate tried, "
            f"{rates[-1]:g}: for them the ratio is a lower bound."
        ],
    )


def spread(loss: np.ndarray, scales) -> np.ndarray:
    """Per key, how far the worst scale's last loss is from that of scale 1, in per cent."""
    worst = np.log(10)  # a run that ended in NaN knows nothing
    loss = np.where(np.isfinite(loss), loss, worst)
    middle = loss[list(scales).index(1.0)]
    return 100 * np.abs(loss / middle - 1).max(0)


def initial_scales(settings: Sweep) -> Outcome:
    """Does batch normalization make the scale of the first weights irrelevant?"""
    runs = {norm: train(settings, norm) for norm in (True, False)}
    loss = {norm: found.train_loss[..., -1] for norm, found in runs.items()}
    middle = list(settings.scales).index(1.0)
    lost = {n: (found.accuracy - found.accuracy[middle]).min(0) for n, found in runs.items()}
    figure, (left, right) = new_figure(2)
    for color, (norm, value) in zip(COLORS, loss.items(), strict=False):
        shown = np.where(np.isfinite(value), np.minimum(value, 10), 10)
        left.loglog(settings.scales, shown, "o", color=color, ms=3, alpha=0.4)
        left.loglog(settings.scales, np.median(shown, 1), color=color, label=NAMES[norm])
    left.set(xlabel="factor on He's initial weights", ylabel="last training loss (10: diverged)")
    left.legend()
    right.set_xscale("log")
    changes = {norm: spread(value, settings.scales) for norm, value in loss.items()}
    dots(right, list(NAMES.values()), [np.maximum(changes[n], 0.1) for n in NAMES])
    right.axvline(10, color="0.5", lw=1, ls="--")
    right.set(xlabel="largest change of the last loss, %")
    return Outcome(
        effects=[
            effect("with BN: change of the last training loss", changes[True], below(10), unit="%"),
            points("with BN: test accuracy, worst scale minus scale 1", lost[True], at_least(-1)),
            effect(
                "without: change of the last training loss", changes[False], above(10), unit="%"
            ),
            points("without: test accuracy, worst scale minus scale 1", lost[False]),
        ],
        figure=figure,
    )


def generalization(settings: Sweep) -> Outcome:
    """Does batch normalization generalize better, as a regularizer would?"""
    accuracy, curves, fits = {}, {}, []
    for norm in (True, False):
        runs = train(settings, norm)
        chosen = best(-runs.accuracy)
        accuracy[NAMES[norm]] = runs.accuracy[chosen]
        label = f"{NAMES[norm]}, rate {settings.rates[chosen]:g}"
        curves[label] = 100 * (1 - runs.test_accuracy[chosen])
        fits.append(np.mean(100 * runs.train_accuracy[chosen, :, -1]))
    gain = accuracy[NAMES[True]] - accuracy[NAMES[False]]
    top = max(curve[:, -1].max() for curve in curves.values())
    figure = curves_and_dots(
        runs.steps,
        curves,
        accuracy,
        left={"xlabel": "step", "ylabel": "test error, %", "ylim": (0, 3 * top)},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points("test accuracy, with BN minus without", gain, above(0)),
        ],
        figure=figure,
        remarks=[f"Training accuracy with BN {fits[0]:.1f} %, without {fits[1]:.1f} %."],
    )
