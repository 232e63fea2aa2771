"""Every public name of the rooms above training is used by a test, not only by an example."""

import ast
import importlib
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent


def names_used(folder: Path) -> set[str]:
    """Names and attributes in the tests of a folder, beside those of imports."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


@pytest.mark.parametrize("room", ["compress", "ensembles", "interpret", "nas", "transfer", "tune"])
def test_every_public_name_is_used_by_a_test(room):
    public = set(importlib.import_module(f"jaxnets.{room}").__all__)
    assert public - names_used(TESTS) == set()


def test_names_of_imports_alone_do_not_count(tmp_path):
    (tmp_path / "test_x.py").write_text("from a import b, c\nassert b\nx.d()\n")
    assert names_used(tmp_path) == {"b", "x", "d"}
