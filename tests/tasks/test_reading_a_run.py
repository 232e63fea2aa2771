"""Whoever evaluates or predicts with a run leaves it as it was, also while it is training."""

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.tasks import Recipe, load_classifier, train_classifier
from jaxnets.train import RunOptions


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "run"
    recipe = Recipe(model="mlp", train_examples=100, epochs=1, warmup_epochs=0, augment="none")
    train_classifier(recipe, RunOptions(workdir=workdir, devices=1, quiet=True))
    return workdir


def contents(directory):
    return {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in directory.rglob("*")}


def test_a_classifier_is_loaded_beside_a_save_in_progress(workdir):
    (workdir / "checkpoints" / "9.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    before = contents(workdir)
    classifier, step = load_classifier(workdir)
    assert step == 1 and classifier.info.model == "mlp"
    assert contents(workdir) == before


def test_images_of_an_unknown_scale_are_refused(workdir):
    """They would come out black: the statistics are of 0 … 255."""
    classifier, _ = load_classifier(workdir)
    for dtype in (np.float32, np.int32, np.uint16):
        with pytest.raises(JaxnetsError, match=f"uint8 0 … 255, got {np.dtype(dtype)}"):
            classifier(np.zeros((1, 8, 8, 1), dtype))
    assert classifier(np.zeros((1, 8, 8, 1), np.uint8)).shape == (1, 10)
