"""A study: the trials of one search in a file that survives the process (Optuna, SQLite)."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxnets.errors import JaxnetsError
from jaxnets.train.run_directory import to_json
from jaxnets.tune.optuna_parts import (
    Pruner,
    Sampler,
    distributions_of,
    grid_of,
    import_optuna,
    make_pruner,
    make_sampler,
)
from jaxnets.tune.space import Range, Space, check_space, describe_space


class Study:
    """Draws settings, keeps what came of them, and continues after a kill.

    Every trial is on the disk when it begins and after each of its measurements. Opening the study
    again takes the trials that were cut off up once more, with the same settings. The n-th
    drawing depends on (seed, n) alone, so an interrupted random search tries the same settings as
    an undisturbed one. One process at a time: it takes the running trials of another for cut off.

    Args:
        path: the SQLite file; several studies may share it. None keeps the study in memory.
        name: of the study.
        space: name to `Range` or `Choice`.
        configuration: whatever else decides what a trial gives (network, data, epochs …), as JSON
            values.
        sampler: "random", "grid" (``grid_points`` a range) or "tpe" (Optuna's model-based one).
        pruner: "halving" (asynchronous successive halving), "hyperband", or "none".
        reduction: of the trials that reach a rung, one in so many goes on. Each rung is
            ``reduction`` times later than the one before.
        first_rung: the share of the epochs before which no trial is stopped. What regularizes
            looks bad early: where it is searched, a half is better than the fifth of the default.
        epochs: measurements of a complete trial.
        seed: of the drawings.

    Raises:
        JaxnetsError: Optuna is missing; the space is empty or crosses; the file holds a study of
            this name with another configuration (what differs is named).

    Source: Li et al., "A system for massively parallel hyperparameter tuning",
    2020 (asynchronous successive halving).

    >>> from jaxnets.tune import Range, Study
    >>> study = Study(None, "demo", {"x": Range(1.0, 100.0)}, {}, pruner="none")
    >>> trial = study.ask()
    >>> study.report(trial, 1, 0.5)
    False
    >>> study.finish(trial)
    >>> study.best()["value"]
    0.5
    """

    def __init__(
        self,
        path: Path | str | None,
        name: str,
        space: Space,
        configuration: Mapping[str, Any],
        *,
        sampler: Sampler = "random",
        pruner: Pruner = "halving",
        reduction: int = 3,
        first_rung: float = 0.2,
        epochs: int = 1,
        grid_points: int = 4,
        seed: int = 0,
    ):
        check_space(space)
        self._optuna = optuna = import_optuna()
        self.name, self.space, self._seed, self._sampler = name, dict(space), seed, sampler
        self._grid = grid_of(space, grid_points) if sampler == "grid" else None
        if path is not None:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._study = optuna.create_study(
            storage=None if path is None else f"sqlite:///{Path(path).absolute()}",
            study_name=name,
            direction="maximize",
            pruner=make_pruner(pruner, epochs, reduction, first_rung),
            sampler=make_sampler(sampler, seed, name, 0),
            load_if_exists=True,
        )
        self._require_same(
            {
                **configuration,
                "space": describe_space(space),
                "sampler": sampler,
                "pruner": pruner,
                "reduction": reduction,
                "first_rung": first_rung,
                "search_seed": seed,
            }
        )
        self._take_up_cut_off_trials()

    def _require_same(self, configuration: dict[str, Any]) -> None:
        now = to_json(configuration)
        before = self._study.user_attrs.get("configuration")
        if before is None:
            self._study.set_user_attr("configuration", now)
            return
        changes = [
            f"{key}: the study has {before.get(key)!r}, asked for {now.get(key)!r}"
            for key in sorted(before.keys() | now.keys())
            if before.get(key) != now.get(key)
        ]
        if changes:
            listed = "\n  ".join(changes)
            raise JaxnetsError(
                f"the study {self.name!r} belongs to another configuration:\n  {listed}\n"
                "Its trials would not be comparable. Give the old settings, or another place."
            )

    def _take_up_cut_off_trials(self) -> None:
        running = self._optuna.trial.TrialState.RUNNING
        for trial in self._study.get_trials(deepcopy=False, states=(running,)):
            marks = {k: v for k, v in trial.user_attrs.items() if k == "first"}
            self._study.enqueue_trial(
                dict(trial.params), user_attrs={**marks, "again": trial.number}
            )
            self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def try_first(self, settings: Mapping[str, Any]) -> None:
        """Take these settings for the next trial, unless the study has tried or drawn them.

        Call it before the first `ask`. They may lie beyond the ranges, and the pruner does not stop
        them: what is in use is compared with what is found after as long a training.

        Args:
            settings: a value for each name of the space; other names are left out.

        Raises:
            JaxnetsError: a name of the space is missing, or a value is no choice of it.
        """
        point = self.point_of(settings)
        if not any(t.user_attrs.get("first") == point for t in self._trials()):
            self._study.enqueue_trial(point, user_attrs={"first": point})

    def point_of(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as `try_first` takes them: on a logarithmic scale, 0 is the lower limit."""
        point: dict[str, Any] = {}
        for name, part in self.space.items():
            if name not in settings:
                raise JaxnetsError(f"the settings to try first do not say {name}")
            value = settings[name]
            if isinstance(part, Range):
                value = part.low if part.log and value == 0 else float(value)
                if not math.isfinite(value) or (part.log and not value > 0):
                    raise JaxnetsError(f"{name}={value} to try first is on no such scale as {part}")
            elif value not in part.values:
                raise JaxnetsError(f"{name}={value!r} to try first is none of {part.values}")
            point[name] = value
        return point

    def ask(self) -> Any:
        """The next trial; its settings are ``trial.params``."""
        drawn = [t for t in self._trials() if "again" not in t.user_attrs]
        waiting = [t for t in self._trials() if t.state.name == "WAITING"]
        if self._grid is not None and not waiting and len(drawn) < len(self._grid):
            self._study.enqueue_trial(self._grid[len(drawn)])
        # A sampler that was opened anew would begin its stream again, so every drawing has its own.
        self._study.sampler = make_sampler(self._sampler, self._seed, self.name, len(drawn))
        point = waiting[0].user_attrs.get("first", {}) if waiting else {}
        return self._study.ask(distributions_of(self.space, point))

    def report(self, trial: Any, epoch: int, value: float) -> bool:
        """Keep a measurement (higher is better); True when the trial should end here.

        A value that is not finite ends the trial: it has diverged.
        """
        if not math.isfinite(value):
            trial.set_user_attr("diverged", epoch)
            return True
        trial.report(float(value), epoch)
        return "first" not in trial.user_attrs and bool(trial.should_prune())

    def finish(self, trial: Any) -> None:
        """The trial was carried through; its value is the last one reported."""
        values = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        self._study.tell(trial, values[max(values)])

    def prune(self, trial: Any) -> None:
        """The trial ended early."""
        self._study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)

    def _trials(self) -> list[Any]:
        return self._study.get_trials(deepcopy=False)

    def done(self) -> int:
        """How many trials have ended, carried through or early."""
        return sum(t.state.name in ("COMPLETE", "PRUNED") for t in self._trials())

    @property
    def grid_size(self) -> int | None:
        """Points of the grid, None for other samplers."""
        return None if self._grid is None else len(self._grid)

    def table(self) -> list[dict[str, Any]]:
        """One row a trial that has ended, best first: params, value, epochs, state.

        ``state`` is "complete", "stopped" (by the pruner) or "diverged"; complete trials come
        first, since only their values are those of full training.
        """
        rows = []
        for trial in self._trials():
            if trial.state.name not in ("COMPLETE", "PRUNED"):
                continue
            values = trial.intermediate_values
            state = "complete" if trial.state.name == "COMPLETE" else "stopped"
            rows.append(
                {
                    "trial": trial.number,
                    "params": dict(trial.params),
                    "value": values[max(values)] if values else None,
                    "epochs": max(values, default=0),
                    "state": "diverged" if "diverged" in trial.user_attrs else state,
                    "curve": [values[k] for k in sorted(values)],
                }
            )
        order = {"complete": 0, "stopped": 1, "diverged": 2}
        worst = -math.inf
        return sorted(
            rows,
            key=lambda row: (
                order[row["state"]],
                -(worst if row["value"] is None else row["value"]),
                row["trial"],
            ),
        )

    def best(self) -> dict[str, Any]:
        """The best row of `table` that was carried through.

        Raises:
            JaxnetsError: no trial has been.
        """
        rows = [row for row in self.table() if row["state"] == "complete"]
        if not rows:
            raise JaxnetsError(
                f"no trial of the study {self.name!r} was carried through: all diverged or none "
                "ran. Lower the range of learning rates, or give more trials."
            )
        return rows[0]
