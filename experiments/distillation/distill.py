"""Teach a small network with a large one, by every method, and compare over keys.

Command:  python -m experiments.distillation.distill --weights resnet20-12fca82f.th
          python -m experiments.distillation.distill --weights … --methods plain kd --keys 2
Time:     a run is 70 s at 850 images/s (one busy core); all methods from 5 keys are 67 runs.
Result:   runs/distill/: summary.json, table.md, distillation.png: each method's test accuracy, and
          its paired difference to the plain student; the figures are in docs/results.md.

The teacher is published (--weights) or trained here. The same command goes on where it stopped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxnets import command
from jaxnets.data import Split, stratified_subset
from jaxnets.errors import JaxnetsError
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.tasks import distillation_report
from jaxnets.tasks.distillation_comparison import METHODS, Comparison, Settings
from jaxnets.tasks.distillation_networks import (
    choose_student,
    find_teacher,
    with_mirror_images,
)
from jaxnets.tasks.teacher import CachedTeacher
from jaxnets.train import RunOptions
from jaxnets.train.run_directory import write_json

# Options that may change between two calls for the same runs.
NOT_LEARNED = ("methods", "keys", "generations", "test_examples", "data_dir", "workdir")


@dataclass(frozen=True)
class Config(Settings):
    """What to train.

    Attributes:
        methods: names of `METHODS`; "plain" is always among them.
        dataset: "cifar10", "digits", or another TFDS set.
        train_examples: training images, equally many of each class; their mirror images are added.
        test_examples: test images, the first of the set (default: all).
        mirror: add the mirror images.
        student: "small" or a name of `jaxnets.list_models()`.
        image_size: the student sees the images averaged down to this many pixels a side.
        widths, teacher_widths: channels of the layers of small networks.
        student_layers, teacher_layers: a layer in the middle and the last one (default: found).
        teacher: "small" or a name of `jaxnets.list_models()`.
        weights: a file with the teacher's published weights; else it is trained on the same images.
        teacher_epochs: passes of a teacher's training here.
        keys: repetitions, for the intervals.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        workdir: where runs and results go.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    dataset: str = "cifar10"
    train_examples: int = 2500
    test_examples: int | None = None
    mirror: bool = True
    student: str = "small"
    image_size: int = 16
    widths: tuple[int, ...] = (16, 32, 48, 64)
    student_layers: tuple[str, str] | None = None
    teacher: str = "resnet20"
    weights: Path | None = None
    teacher_widths: tuple[int, ...] = (32, 64, 96, 128)
    teacher_epochs: int = 30
    teacher_layers: tuple[str, str] | None = None
    keys: int = 5
    data_dir: Path | None = None
    workdir: Path = Path("runs/distill")


def smoke() -> Config:
    """Two tiny networks on a part of the digits."""
    data = {"dataset": "digits", "train_examples": 60, "test_examples": 50, "mirror": False}
    student = {"image_size": 4, "widths": (2, 3), "epochs": 1, "hint_epochs": 1, "batch_size": 30}
    teacher = {"teacher": "small", "teacher_widths": (3, 4), "teacher_epochs": 1}
    methods = ("plain", "kd", "fitnet", "tolerant")
    runs = {"keys": 2, "generations": 1, "workdir": Path("runs/smoke/distill")}
    return Config(methods=methods, **data, **student, **teacher, **runs)


def about(config: Config) -> dict[str, str]:
    """What decides the results of a run; of a file its name."""
    learned = [(k, v) for k, v in vars(config).items() if k not in NOT_LEARNED]
    return {k: v.name if isinstance(v, Path) else str(v) for k, v in learned}


def build(config: Config) -> tuple[Comparison, float]:
    """The comparison, and the teacher's test accuracy."""
    found = find_teacher(
        config.teacher,
        config.dataset,
        workdir=config.workdir / "teacher",
        layers=config.teacher_layers,
        widths=config.teacher_widths,
        epochs=config.teacher_epochs,
        weights=config.weights,
        train_examples=config.train_examples,
        data_dir=config.data_dir,
    )
    data = found.dataset
    train = stratified_subset(data.train, config.train_examples)
    if config.mirror:
        train = with_mirror_images(train)
    student = choose_student(
        config.student,
        train.images,
        data.num_classes,
        side=config.image_size,
        widths=config.widths,
        layers=config.student_layers,
    )
    comparison = Comparison(
        student.network,
        CachedTeacher(train, found.teacher, dtype="float16"),
        Split(*(x[: config.test_examples] for x in data.test)),
        num_classes=data.num_classes,
        preprocess=student.preprocess,
        student_layers=student.layers,
        teacher_layers=found.layers,
        settings=config,
        about=about(config),
        options=RunOptions(quiet=True, devices=1, evaluate_every=0, keep=1, parallel="jit"),
    )
    return comparison, found.accuracy


def main(config: Config) -> dict[str, Any]:
    """Train what is not trained yet, compare, draw."""
    if config.keys < 1:
        raise JaxnetsError(f"--keys must be at least 1, got {config.keys}")
    config.check(config.methods)
    workdir = write_settings(config)
    comparison, teacher_accuracy = build(config)
    summary: dict[str, Any] = {}
    for rows in comparison.run_all(config.methods, config.keys, workdir):
        found = {name: [fitted.summary for fitted in fits] for name, fits in rows.items()}
        summary = distillation_report.summarize_runs(found)
        summary["teacher_accuracy"] = teacher_accuracy
        # After every key, so that a long run can be looked at.
        write_json(workdir / "summary.json", json_values(summary))
    return distillation_report.finish(summary, workdir)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
