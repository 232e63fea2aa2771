"""Coarse search, then refined: short trials over wide ranges, longer ones around the best."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.tune.optuna_parts import Pruner, Sampler
from jaxnets.tune.space import Space, at_the_edge, zoom
from jaxnets.tune.study import Study

Settings = dict[str, Any]
# (settings of the trials that run together, device) → for each epoch their scores, higher is
# better: an array (trials,), possibly still being computed.
Objective = Callable[[list[Settings], jax.Device], Iterator[Any]]


def run_trials(
    study: Study,
    objective: Objective,
    *,
    trials: int,
    devices: Sequence[jax.Device] | None = None,
    together: int = 1,
    progress: Any = None,
) -> Study:
    """Run trials until the study has ``trials`` that ended; what it has already counts.

    One process serves all its devices: each works on a group of its own, and all compute at the
    same time because a group's scores are only fetched when every device has been given work.

    Args:
        study: where they are drawn and kept.
        objective: called once a group, on one device.
        trials: how many should have ended afterwards.
        devices: of this process (default: all of them).
        together: trials of one group, which the objective may train as one vmapped program. A
            group runs until its last trial ends.
        progress: a tqdm bar that counts trials, or None.

    Returns:
        The study.

    Raises:
        JaxnetsError: a budget below 1.

    >>> from jaxnets.tune import Range, Study
    >>> study = Study(None, "demo", {"x": Range(1.0, 100.0)}, {}, pruner="none")
    >>> score = lambda settings, device: iter([[-one["x"] for one in settings]])
    >>> run_trials(study, score, trials=3).done()
    3
    """
    if trials < 1 or together < 1:
        raise JaxnetsError(f"trials and together must be at least 1, got {trials} and {together}")
    if study.grid_size is not None:
        trials = min(trials, study.grid_size)
    devices = list(jax.local_devices() if devices is None else devices)
    working: dict[jax.Device, _Group] = {}
    if progress is not None:
        progress.update(min(study.done(), trials))
    left = trials - study.done()
    while True:
        for device in devices:
            count = min(together, left)
            if device not in working and count > 0:
                working[device] = _Group(study, objective, count, device)
                left -= count
        if not working:
            return study
        # Every device is given its epoch before the first one is waited for.
        given = {device: next(group.scores, None) for device, group in working.items()}
        for device, scores in given.items():
            ended = working[device].receive(scores)
            if working[device].all_ended:
                del working[device]
            if progress is not None and ended:
                progress.update(ended)
                rows = [row for row in study.table() if row["state"] == "complete"]
                if rows:
                    progress.set_postfix(best=f"{rows[0]['value']:.4f}", refresh=False)


class _Group:
    """Trials that run together on one device."""

    def __init__(self, study: Study, objective: Objective, count: int, device: jax.Device):
        self._study = study
        self._trials = [study.ask() for _ in range(count)]
        self._running = set(range(count))
        self._epoch = 0
        self.scores = iter(objective([dict(trial.params) for trial in self._trials], device))

    @property
    def all_ended(self) -> bool:
        return not self._running

    def receive(self, scores: Any) -> int:
        """Report an epoch's scores (None: the objective has ended); how many trials end now."""
        ended = 0
        if scores is not None:
            self._epoch += 1
            scores = np.asarray(scores, np.float64).reshape(len(self._trials))
        for index in sorted(self._running):
            trial = self._trials[index]
            if scores is None:
                self._study.finish(trial)
            elif self._study.report(trial, self._epoch, scores[index]):
                self._study.prune(trial)
            else:
                continue
            self._running.discard(index)
            ended += 1
        return ended


@dataclass(frozen=True)
class Round:
    """One round of a search.

    Attributes:
        trials: how many settings are tried.
        epochs: how long each is trained.
        zoom: how many times narrower the ranges are than in the round before, around its best.
        first_rung: the share of the epochs before which no trial is stopped (see `Study`).

    >>> Round(trials=16, epochs=3).zoom
    4.0
    """

    trials: int
    epochs: int
    zoom: float = 4.0
    first_rung: float = 0.2


def coarse_to_fine(
    make_objective: Callable[[int], Objective],
    space: Space,
    rounds: Sequence[Round],
    *,
    store: Path | str | None = None,
    configuration: dict[str, Any] | None = None,
    sampler: Sampler = "random",
    pruner: Pruner = "halving",
    reduction: int = 3,
    seed: int = 0,
    devices: Sequence[jax.Device] | None = None,
    together: int = 1,
    start: Settings | None = None,
    open_bar: Callable[[str, int], Any] | None = None,
) -> list[Study]:
    """Random search in rounds, each around the best of the one before.

    Except in a grid, each round first tries that best itself and ``start``, and stops neither
    early, so that it ends where the one before did, or better, and no worse than what was in use:
    a short round prefers what learns fast, which need not be what a long training ends best with.

    Args:
        make_objective: epochs → objective.
        space: the first round's; the first round's ``zoom`` is not used.
        rounds: coarse to fine.
        store: the SQLite file of all rounds; the same call goes on where it was killed.
        configuration: what else decides a trial's result.
        sampler, pruner, reduction, seed: as for `Study`.
        devices, together: as for `run_trials`.
        start: settings that every round tries first: those in use so far.
        open_bar: (name, trials) → a progress bar, used as a context manager.

    Returns:
        the rounds' studies; the last one's ``best()`` is the answer. Scores are comparable within
        a round only, since rounds train for different times.

    Raises:
        JaxnetsError: no rounds, or what `Study` and `run_trials` raise.

    >>> def make(epochs):
    ...     return lambda settings, device: iter([[-abs(s["x"] - 3) for s in settings]] * epochs)
    >>> from jaxnets.tune import Range, Round, coarse_to_fine
    >>> rounds = [Round(20, 1), Round(20, 1), Round(20, 1)]
    >>> studies = coarse_to_fine(make, {"x": Range(0.1, 100.0)}, rounds, pruner="none")
    >>> abs(studies[-1].best()["params"]["x"] - 3) < 0.1
    True
    """
    if not rounds:
        raise JaxnetsError("the search has no rounds; give at least one")
    studies: list[Study] = []
    for number, plan in enumerate(rounds, start=1):
        if plan.epochs < 1:
            raise JaxnetsError(f"round {number}: epochs must be at least 1, got {plan.epochs}")
        first = [] if start is None else [start]
        if studies:
            best = studies[-1].best()["params"]
            space = zoom(space, best, plan.zoom)
            first = [best, *first]
        study = Study(
            store,
            f"round-{number}",
            space,
            {**(configuration or {}), "epochs": plan.epochs},
            sampler=sampler,
            pruner=pruner,
            reduction=reduction,
            first_rung=plan.first_rung,
            epochs=plan.epochs,
            seed=seed,
        )
        if start is not None and not studies:
            # Once: the lower limit that stands for 0 is the first round's in all of them.
            start = study.point_of(start)
        for settings in first if sampler != "grid" else ():
            study.try_first(settings)
        options = {"trials": plan.trials, "devices": devices, "together": together}
        objective = make_objective(plan.epochs)
        if open_bar is None:
            run_trials(study, objective, **options)
        else:
            with open_bar(study.name, plan.trials) as bar:
                run_trials(study, objective, **options, progress=bar)
        studies.append(study)
    return studies


def edge_warnings(study: Study) -> list[str]:
    """One sentence for each range at whose limit the best trial lies.

    Args:
        study: with a trial that was carried through.

    Returns:
        Sentences; none where the best trial lies inside.

    >>> from jaxnets.tune import Range, Study
    >>> study = Study(None, "demo", {"x": Range(1.0, 100.0)}, {}, sampler="grid", grid_points=30)
    >>> score = lambda settings, device: iter([[one["x"] for one in settings]])
    >>> edge_warnings(run_trials(study, score, trials=30))
    ['the best x lies at the upper limit of its range: widen the range there']
    """
    return [
        f"the best {name} lies at the {side} limit of its range: widen the range there"
        for name, side in at_the_edge(study.space, study.best()["params"]).items()
    ]
