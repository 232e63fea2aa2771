"""Do one to five epochs tell which hyper-parameters are best after fifty?"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    at_most,
    effect,
    figures,
    make_keys,
    train_many,
)
from experiments.claims.random_search_beats_grid import Net, rule


@dataclass(frozen=True, kw_only=True)
class Ranking(Settings):
    """Random settings, each trained long and looked at early."""

    candidates: int = 32
    epochs: int = 50
    batch_size: int = 64
    width: int = 64
    short: tuple[int, ...] = (1, 5)


def measure(settings: Ranking) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    rng = np.random.default_rng(0)
    values = {
        "rate": (10 ** rng.uniform(-4, 0.5, settings.candidates)).astype(np.float32),
        "decay": (10 ** rng.uniform(-5, -1, settings.candidates)).astype(np.float32),
    }
    per_epoch = len(data.train.labels) // settings.batch_size
    runs = train_many(
        Net(settings.width),
        rule,
        values,
        data,
        keys,
        steps=settings.epochs * per_epoch,
        batch_size=settings.batch_size,
        evaluations=settings.epochs,
    )
    # (candidates, keys, epochs + 1)
    accuracy = 100 * runs.test_accuracy
    end = accuracy[..., -1]
    correlation = np.array(
        [
            [_rank_correlation(accuracy[:, k, e], end[:, k]) for e in _epochs(settings)]
            for k in range(len(keys))
        ]
    )
    lost = np.array(
        [
            [end[:, k].max() - end[accuracy[:, k, e].argmax(), k] for e in _epochs(settings)]
            for k in range(len(keys))
        ]
    )
    figure, (left, right) = figures.new(2)
    epochs = np.array(_epochs(settings))
    figures.band(left, epochs, correlation, "rank correlation", figures.COLORS[0])
    left.set(xlabel="epochs", ylabel=f"with the ranking after {settings.epochs}", ylim=(0, 1.02))
    figures.band(right, epochs, lost, "lost", figures.COLORS[1])
    right.set(xlabel="epochs", ylabel="points below the best at the end", ylim=(0, None))
    effects = []
    for short in settings.short:
        place, words = short - 1, f"{short} epoch{'s' if short > 1 else ''}"
        effects += [
            effect(f"rank correlation after {words}", correlation[:, place], above(0.5)),
            effect(f"lost by choosing after {words}", lost[:, place], at_most(1.0), unit="points"),
        ]
    return Outcome(
        effects=effects,
        figure=figure,
        remarks=[
            f"{settings.candidates} random pairs of learning rate (1e-4 to 3) and weight decay "
            f"(1e-5 to 0.1); final accuracies from {end.min():.0f} to {end.max():.1f} %."
        ],
    )


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's; 0 where all are equal, which orders nothing."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


def _epochs(settings: Ranking) -> range:
    return range(1, settings.epochs + 1)


CLAIM = Claim(
    sentence="Coarse results after one to five epochs predict the ranking of longer training",
    notes="L117",
    row="C16",
    experiment="A network of one hidden layer with random learning rates and weight decays, each "
    "trained for 50 epochs; compared are the test accuracies after 1 and 5 epochs with those at "
    "the end: Spearman's rank correlation (wanted above 0.5), and what choosing early loses "
    "(wanted at most a point).",
    measure=measure,
    full=Ranking(),
    quick=Ranking(keys=3, candidates=12, epochs=20, train=640),
    tiny=Ranking(keys=2, candidates=3, epochs=5, train=64, batch_size=32, width=8, test=50),
)
