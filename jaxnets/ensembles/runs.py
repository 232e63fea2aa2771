"""The ensemble of finished runs on disk: loaded, and measured on their test set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.data import eval_batches, load_dataset
from jaxnets.ensembles.measure import measure_ensemble
from jaxnets.ensembles.predict import Ensemble
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.classifier import Classifier, load_classifier
from jaxnets.train.checkpoint import Checkpoints
from jaxnets.train.run_directory import local_path


def load_ensemble(
    workdirs: Sequence[str | Path], *, last: int = 1, notify: Callable[[str], None] = print
) -> tuple[Ensemble, list[str]]:
    """The ensemble of several runs, of a run's last checkpoints, or of both.

    Args:
        workdirs: directories of finished runs of `jaxnets.tasks.train_classifier`; their networks
            may differ, their classes and image sizes may not.
        last: this many of every run's newest checkpoints.
        notify: called with a sentence about a damaged checkpoint that is passed over.

    Returns:
        (the ensemble: stored images uint8 (N, H, W, C) → probabilities (N, K), the members' names).

    Raises:
        ValueError: ``last`` below 1.
        JaxnetsError: no directories, no run there, fewer checkpoints than asked for, or runs on
            different classes or images.

    >>> load_ensemble(["/nowhere"])
    Traceback (most recent call last):
    ...
    jaxnets.errors.JaxnetsError: /nowhere holds no run ...
    """
    if last < 1:
        raise ValueError(f"last must be at least 1, got {last}")
    if not workdirs:
        raise JaxnetsError("an ensemble needs at least one run, got none")
    members: list[Classifier] = []
    names: list[str] = []
    for workdir in map(local_path, workdirs):
        steps: Sequence[int | None] = (None,)
        if last > 1:
            steps = Checkpoints(workdir / "checkpoints").steps()[-last:]
            if len(steps) < last:
                raise JaxnetsError(
                    f"{workdir} has {len(steps)} checkpoint(s), {last} were asked for; train with "
                    f"--keep {last} or more"
                )
        for step in steps:
            classifier, found = load_classifier(workdir, step=step, notify=notify)
            _require_same_task(workdir, classifier, workdirs[0], members)
            members.append(classifier)
            names.append(f"{workdir} step {found}")
    ensemble = Ensemble(
        [m.network for m in members],
        [m.variables for m in members],
        [m.info.preprocess for m in members],
    )
    return ensemble, names


def measure_runs(
    workdirs: Sequence[str | Path], *, last: int = 1, data_dir: Path | None = None
) -> dict[str, Any]:
    """The ensemble of finished runs beside its members, on the test set of the first run.

    Args:
        workdirs, last: as `load_ensemble` takes them.
        data_dir: where prepared TFDS data sets lie (default: $TFDS_DATA_DIR).

    Returns:
        What `measure_ensemble` gives, ``runs``: member → accuracy, and ``test_images``.

    Raises:
        ValueError: ``last`` below 1.
        JaxnetsError: what `load_ensemble` raises.

    >>> measure_runs([])
    Traceback (most recent call last):
    ...
    jaxnets.errors.JaxnetsError: an ensemble needs at least one run, got none
    """
    ensemble, names = load_ensemble(workdirs, last=last)
    classifier, _ = load_classifier(workdirs[0])
    test = load_dataset(classifier.info.dataset, data_dir=data_dir).test
    predict = jax.jit(lambda x: jax.nn.softmax(ensemble.member_logits(x)))
    parts = [
        np.asarray(predict(batch["image"]))[:, batch["example_mask"] > 0]
        for batch in eval_batches(test, min(256, len(test)))
    ]
    probabilities = np.concatenate(parts, axis=1)
    accuracies = (probabilities.argmax(-1) == test.labels).mean(-1).tolist()
    return {
        **measure_ensemble(probabilities, test.labels),
        "runs": dict(zip(names, accuracies, strict=True)),
        "test_images": len(test),
    }


def describe_runs(found: dict[str, Any]) -> str:
    """What `measure_runs` found, for the terminal.

    Args:
        found: of `measure_runs`.

    Returns:
        Lines.

    >>> found = {"runs": {"a step 9": 0.5}, "accuracy": 0.5, "loss": 1.0, "mean_loss": 1.5}
    >>> print(describe_runs({**found, "disagreement": 0.25, "test_images": 8}))
      a step 9: accuracy 50.00 %
    together: accuracy 50.00 %, loss 1.0000 (mean of the members 1.5000); two of them disagree on
    25.00 % of 8 images
    """
    lines = [f"  {name}: accuracy {100 * a:.2f} %" for name, a in found["runs"].items()]
    lines.append(
        f"together: accuracy {100 * found['accuracy']:.2f} %, loss {found['loss']:.4f} (mean of "
        f"the members {found['mean_loss']:.4f}); two of them disagree on "
        f"{100 * found['disagreement']:.2f} % of {found['test_images']:,} images"
    )
    return "\n".join(lines)


def _require_same_task(workdir, classifier, first, members) -> None:
    if not members:
        return
    ours, theirs = classifier.info, members[0].info
    if ours.class_names != theirs.class_names or ours.image_shape != theirs.image_shape:
        raise JaxnetsError(
            f"{workdir} does not go with {first}: {ours.num_classes} classes of {ours.dataset}, "
            f"images {ours.image_shape}, beside {theirs.num_classes} classes of {theirs.dataset}, "
            f"images {theirs.image_shape}"
        )
