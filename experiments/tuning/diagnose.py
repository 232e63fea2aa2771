"""What the loss curves of a run say, in words.

Command:  python -m experiments.tuning.diagnose --workdir runs/train_classifier/digits-lenet5
          python -m experiments.tuning.diagnose
Time:     three seconds on two CPU cores.
Result:   curves.png with the finding written on it, and summary.json, in diagnosis/ in the run's
          directory. Without --workdir, typical curves of each kind: learning rate too high, too
          low, plateau, over-fitting, under-fitting, good; in runs/diagnose.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.errors import JaxnetsError
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.train import read_metrics
from jaxnets.train.run_directory import read_json, write_json
from jaxnets.tune import diagnose, figures
from jaxnets.tune.curves import typical_curves
from jaxnets.tune.diagnose import ADVICE, Diagnosis, smoothing_entropy


@dataclass(frozen=True)
class Config:
    """Whose curves.

    Attributes:
        workdir: directory of a run of `experiments.train_classifier`.
        noise: of the typical curves.
        seed: of the typical curves.
        target: where the results go.
    """

    workdir: Path | None = None
    noise: float = 0.05
    seed: int = 4
    target: Path | None = None


def smoke() -> Config:
    """The typical curves."""
    return Config(target=Path("runs/smoke/diagnose"))


def main(config: Config) -> dict[str, Any]:
    """Diagnose one run, or the typical curves; returns the contents of ``summary.json``."""
    run = config.workdir
    target = config.target or (Path("runs/diagnose") if run is None else run / "diagnosis")
    found = _typical(config, target) if run is None else _of_run(run, target)
    write_json(target / "config.json", {k: str(v) for k, v in vars(config).items()})
    summary = {
        name: {"kind": d.kind, "finding": d.finding, "advice": d.advice, "evidence": d.evidence}
        for name, d in found.items()
    }
    write_json(target / "summary.json", summary)
    for name, d in found.items():
        print(f"{name}: {d.kind.replace('_', ' ')}. {d.finding}.\n    Advice: {d.advice}.")
    print(f"{target}: curves.png, summary.json")
    return summary


def _of_run(run: Path, target: Path) -> dict[str, Diagnosis]:
    records = read_metrics(run)
    if not records:
        raise JaxnetsError(
            f"{run} has no metrics.jsonl; give the directory of a run of "
            "experiments.train_classifier"
        )
    train = [record["loss"] for record in records if record["kind"] == "train"]
    test = [record["loss"] for record in records if record["kind"] == "test"]
    settings = read_json(run / "config.json") or {}
    rate_decayed = settings.get("schedule", "constant") != "constant"
    # A run that is still going on has not come to the end of its schedule.
    finished = (run / "summary.json").exists()
    found = diagnose(
        train,
        test if len(test) >= 4 else None,
        floor=_floor(settings, run),
        rate_decayed=rate_decayed and finished,
    )
    target.mkdir(parents=True, exist_ok=True)
    figures.save_curves(
        train,
        test if len(test) >= 4 else None,
        found,
        target / "curves.png",
        unit="step",
        length=max(record["step"] for record in records),
        valid_name="test",
    )
    return {str(run): found}


def _floor(settings: dict[str, Any], run: Path) -> float:
    """What label smoothing leaves of the training loss, for the run's number of classes."""
    smoothing = settings.get("label_smoothing") or 0.0
    if not smoothing:
        return 0.0
    from jaxnets.tasks import load_classifier

    classifier, _ = load_classifier(run)
    return smoothing_entropy(smoothing, len(classifier.info.class_names))


def _typical(config: Config, target: Path) -> dict[str, Diagnosis]:
    target.mkdir(parents=True, exist_ok=True)
    figure, rows = new_figure(3, 2, width=14 / 3, height=4)
    found = {}
    for kind, place in zip(ADVICE, chain(*rows), strict=True):
        train, valid = typical_curves(kind, noise=config.noise, seed=config.seed)
        found[kind] = diagnose(train, valid)
        figures.draw_curves(place, train, valid, found[kind])
    save_figure(figure, target / "curves.png")
    return found


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
