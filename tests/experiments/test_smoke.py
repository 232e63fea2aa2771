"""Every experiment's smoke configuration runs and returns results."""

import dataclasses
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments"
NAMES = sorted(
    path.stem for path in FOLDER.glob("*.py") if "\ndef smoke(" in path.read_text(encoding="utf-8")
)


def test_all_experiments_but_those_on_finished_runs_have_a_smoke_configuration():
    missing = {
        path.stem
        for path in FOLDER.glob("*.py")
        if "\ndef main(" in path.read_text(encoding="utf-8") and path.stem not in NAMES
    }
    # These two need a trained run; test_train_classifier.py runs them on one.
    assert missing == {"evaluate", "predict"}


# Half a minute or more of compiling, or run by the tests of their own as well:
# test_convolution_experiments.py, test_find_recipe.py, test_transfer_experiments.py,
# test_benchmark_lbfgs.py, test_compare_models.py and test_optim_experiments.py.
SLOW = (
    *("tune_convolution", "find_recipe", "transfer", "benchmark_lbfgs", "compare_models"),
    *("asynchronous_sgd", "landscapes", "optimizer_shootout"),
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES]
)
def test_smoke(name, tmp_path, capsys):
    experiment = importlib.import_module(f"experiments.{name}")
    config = dataclasses.replace(experiment.smoke(), workdir=tmp_path / name)
    results = experiment.main(config)
    assert isinstance(results, dict) and results
    assert "Traceback" not in capsys.readouterr().err
    assert (tmp_path / name / "summary.json").exists()
