"""Whose turn it is: what a plain run tries of the broad tests, a third after each commit.

The files below hold hundreds of cases of one kind or compile large programs. A run of the whole
suite tries a third of their tests, the next commit's run another third, so that each has its turn
in any three in a row. Whoever names files gets all of them, and so does ``--slow``.
"""

import subprocess
import time
import zlib
from pathlib import Path

TURNS = 3

BROAD = (
    *("tests/augment/", "tests/noise/", "tests/interpret/", "tests/notebooks/", "tests/ensembles/"),
    *("tests/optim/test_catalogue.py", "tests/optim/second_order/", "tests/optim/test_torch.py"),
    *("tests/ops/boxes/", "tests/ops/test_catalogue.py", "tests/ops/test_convolution.py"),
    *("tests/ops/test_fractional_pooling.py", "tests/ops/test_onednn.py", "tests/ops/test_roi.py"),
    *("tests/ops/test_recurrent.py", "tests/ops/test_attention.py", "tests/ops/test_decoding.py"),
    *("tests/models/test_registry.py", "tests/models/test_networks.py"),
    *("tests/models/test_torch_equality.py", "tests/models/test_inception.py"),
    *("tests/models/test_searched_and_fractal.py", "tests/nn/test_catalogue.py"),
    *("tests/nn/test_optimize_for_inference.py", "tests/pretrained/test_load.py"),
    *("tests/transfer/", "tests/tune/", "tests/losses/", "tests/metrics/", "tests/inspect/"),
    *("tests/tasks/test_distillation.py", "tests/docs/test_examples.py"),
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
