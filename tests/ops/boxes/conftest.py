"""The thousand sets of `tests/golden/box_sets.py`, and what torchvision made of them."""

import sys
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
sys.path.insert(0, str(GOLDEN))


@pytest.fixture(scope="session")
def torchvision():
    with np.load(GOLDEN / "boxes.npz") as stored:
        return dict(stored)
