"""Whose turn it is: what a plain run tries of the broad tests, a quarter after each commit.

The files below hold hundreds of cases of one kind, start processes or compile large programs. A run
of the whole suite tries a quarter of their tests, the next commit's run another quarter, so that
each has its turn in any four in a row. Whoever names files gets all of them, and so does
``--slow``.
"""

import subprocess
import time
import zlib
from pathlib import Path

TURNS = 4

BROAD = (
    *("tests/augment/", "tests/noise/", "tests/interpret/", "tests/notebooks/", "tests/ensembles/"),
    *("tests/compress/", "tests/nas/"),
    *("tests/losses/", "tests/metrics/", "tests/inspect/", "tests/transfer/", "tests/tune/"),
    *("tests/study/", "tests/ops/", "tests/optim/", "tests/pretrained/test_load.py"),
    *("tests/models/test_registry.py", "tests/models/test_networks.py"),
    *("tests/models/test_torch_equality.py", "tests/models/test_inception.py"),
    *("tests/models/test_searched_and_fractal.py", "tests/models/test_modern.py"),
    *("tests/models/test_classic.py", "tests/models/test_resnet.py", "tests/nn/"),
    *("tests/tasks/test_auxiliary.py", "tests/tasks/test_paper_recipes.py"),
    *("tests/tasks/test_distillation.py", "tests/docs/test_examples.py"),
    # Processes of their own, each of which imports and compiles everything anew.
    *("tests/train/test_kill.py", "tests/train/test_processes.py", "tests/train/test_mix.py"),
    "tests/train/test_parallel.py::test_two_processes",
    # Doctests.
    "jaxnets/",
)
# Of the experiments' tests, those of the first command run always.
EXPERIMENTS, ALWAYS = "tests/experiments/", "tests/experiments/test_train_classifier.py"


def turn() -> int:
    """How many commits there are, or, without git, days: the same in all processes of a run."""
    command = ["git", "rev-list", "--count", "HEAD"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, check=True)
        return int(done.stdout)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return int(time.time() // 86_400)


def is_broad(nodeid: str) -> bool:
    """Whether a test takes turns."""
    return nodeid.startswith(BROAD) or (
        nodeid.startswith(EXPERIMENTS) and not nodeid.startswith(ALWAYS)
    )


def in_turn(nodeids: list[str], number: int) -> set[str]:
    """The tests whose turn it is, of those that take turns.

    The cases of one parametrized test follow each other; where it begins depends on its name.
    """
    seen: dict[str, int] = {}
    found = set()
    for nodeid in filter(is_broad, nodeids):
        test = nodeid.partition("[")[0]
        place = seen[test] = seen.get(test, zlib.crc32(test.encode())) + 1
        if place % TURNS == number % TURNS:
            found.add(nodeid)
    return found
