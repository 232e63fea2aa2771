"""The catalogue: every family of networks at a size that compiles in a second or two.

A test with an argument `tiny` runs once for each entry.
"""

from typing import NamedTuple

import pytest


class Tiny(NamedTuple):
    """A registered network made small by its fields, and the images it takes."""

    name: str
    fields: dict
    shape: tuple[int, int, int]


TINY = {
    "mlp": Tiny("mlp", {"hidden": (32, 16), "dropout_rate": 0.1}, (8, 8, 1)),
    "lenet5": Tiny("lenet5", {}, (8, 8, 1)),
    "lenet5_1998": Tiny("lenet5_1998", {}, (28, 28, 1)),
    "resnet20": Tiny("resnet20", {"blocks": 2, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet20_B": Tiny(
        "resnet20", {"blocks": 1, "widths": (8, 12, 16), "shortcut": "B"}, (16, 16, 3)
    ),
    "resnet1202": Tiny("resnet1202", {"blocks": 3, "widths": (8, 12, 16)}, (16, 16, 3)),
    "resnet18": Tiny("resnet18", {"stages": (1, 1, 1, 1), "width": 8}, (48, 48, 3)),
    "resnet50_v1": Tiny(
        "resnet50_v1", {"stages": (2, 1, 1, 1), "width": 4, "zero_gamma": False}, (48, 48, 3)
    ),
    "resnet50_C": Tiny(
        "resnet50", {"stages": (2, 1), "width": 4, "width_factor": 2, "shortcut": "C"}, (32, 32, 3)
    ),
    "plain18": Tiny("plain18", {"stages": (1, 1), "width": 8}, (32, 32, 3)),
}


def pytest_generate_tests(metafunc):
    if "tiny" in metafunc.fixturenames:
        metafunc.parametrize("tiny", [pytest.param(t, id=key) for key, t in TINY.items()])
