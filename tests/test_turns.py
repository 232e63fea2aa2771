"""Every test has its turn in any four runs of the suite in a row."""

from pathlib import Path

from turns import BROAD, TURNS, in_turn, is_broad

ROOT = Path(__file__).resolve().parents[1]
TESTS = [f"tests/noise/test_noise.py::test_{i}[{j}]" for i in range(20) for j in range(i)]


def test_every_test_has_one_turn_in_four():
    runs = [in_turn(TESTS, 7 + i) for i in range(TURNS)]
    assert sorted(test for run in runs for test in run) == sorted(TESTS)
    assert max(map(len, runs)) < 1.1 * len(TESTS) / TURNS
    assert in_turn(TESTS, 7 + TURNS) == runs[0]


def test_what_takes_no_turns():
    assert not is_broad("tests/train/test_step.py::test_a")
    assert not is_broad("tests/experiments/test_train_classifier.py::test_a")
    assert is_broad("tests/experiments/test_smoke.py::test_smoke[a]")
    assert in_turn(["tests/train/test_step.py::test_a"], 0) == set()


def test_what_takes_turns_exists():
    assert [path for path in BROAD if not (ROOT / path.partition("::")[0]).exists()] == []
