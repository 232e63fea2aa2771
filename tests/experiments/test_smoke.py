"""Every experiment's smoke configuration runs and returns results."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def experiments_with(function: str) -> set[str]:
    """Module names of the files that define ``function``: "experiments.TOPIC.NAME"."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "experiments").rglob("*.py")
        if f"\ndef {function}(" in path.read_text(encoding="utf-8")
    }


NAMES = sorted(experiments_with("main") & experiments_with("smoke"))


def last(module: str) -> str:
    return module.rsplit(".", 1)[-1]


def test_all_experiments_but_those_on_finished_runs_have_a_smoke_configuration():
    missing = {last(name) for name in experiments_with("main") - set(NAMES)}
    # These need a trained run: test_train_classifier.py and tests/commands run them on one.
    # The claims (`__main__`) have --quick, which test_claims.py runs.
    # test_video_experiments.py runs detect_actions.
    assert missing - {"__main__"} == {"evaluate", "explain", "predict", "detect_actions"}


# Half a minute or more of compiling, or run by the tests of their own as well:
# test_find_recipe.py, test_transfer_experiments.py, test_distill.py, test_compare_models.py, and
# those of jaxnets.interpret and jaxnets.compress.
SLOW = (
    *("zfnet_analyses", "benchmark_interpret", "strongest"),
    *("tune_convolution", "find_recipe", "compare_models"),
    *("transfer_strategies", "transferability", "fine_tune_few"),
    *("ensemble", "distill", "compress", "search_architecture"),
    *("train_detector", "train_rcnn", "train_segmenter", "train_actions"),
    # Whole systems, which tests/tasks trains on small problems.
    *("translate", "spell", "answer", "caption"),
    "three_ways",
)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if last(n) in SLOW else n for n in NAMES]
)
def test_smoke(name, smoke_run):
    run = smoke_run(name)
    assert isinstance(run.results, dict) and run.results
    assert "Traceback" not in run.errors
    assert (run.workdir / "summary.json").exists()
