"""Every public name of these rooms is in the catalogue, or excluded there with a reason."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

from jaxnets import ops

sys.path.insert(0, str(Path(__file__).resolve().parent))

ROOMS = {
    "augment": "jaxnets.augment",
    "data": "jaxnets.data",
    "ops": "jaxnets.ops",
    "convolution": "jaxnets.ops.convolution",
    "boxes": "jaxnets.ops.boxes",
    "roi": "jaxnets.ops.roi",
    "losses": "jaxnets.losses",
    "metrics": "jaxnets.metrics",
    "nn": "jaxnets.nn",
    "noise": "jaxnets.noise",
}


def names_used(path: Path) -> set[str]:
    """All ``room.name`` in a file, beside those of imports."""
    return {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_listed(room):
    import catalogue

    used = names_used(Path(catalogue.__file__))
    # The catalogue loops over all of `ops.ACTIVATIONS`, and calls `conv` by its shorter path.
    used |= {f"ops.{name}" for name in ops.ACTIVATIONS}
    used |= {name.replace("ops.", "convolution.") for name in ("ops.conv",) if name in used}
    public = {f"{room}.{name}" for name in importlib.import_module(ROOMS[room]).__all__}
    excluded = {name for name in catalogue.EXCLUDED if name.startswith(f"{room}.")}
    assert public - used - excluded == set()
    assert excluded - public == set(), "excluded, but not public (any more)"
    assert excluded & used == set(), "excluded, but listed"


def test_names_are_unique():
    import catalogue

    for entries in (catalogue.FUNCTIONS, catalogue.MODULES, catalogue.TRANSFORMS):
        names = [entry.name for entry in entries]
        assert len(set(names)) == len(names)
