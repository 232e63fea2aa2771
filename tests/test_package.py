"""The package as a user meets it: import cost, what is offered, floors, no traces of machines."""

import ast
import graphlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import jaxnets

ROOT = Path(__file__).resolve().parents[1]

# Each room may import from the rooms below it, never from one above (the order is the floors').
FLOORS = {
    "errors": 0,
    "host_memory": 0,
    "ops": 1,
    "optim": 1,
    "losses": 1,
    "metrics": 1,
    "data": 1,
    "nn": 2,
    "augment": 2,
    "noise": 3,
    "models": 3,
    "inspect": 4,
    "pretrained": 4,
    "train": 4,
    "command": 4,
    "study": 5,
    "tasks": 5,
    "ensembles": 6,
    "interpret": 6,
    "compress": 6,
    "transfer": 6,
    "nas": 6,
    "tune": 6,
    "commands": 7,
    "__main__": 8,
}


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return done.stdout.strip()


def test_import_costs_nothing_beside_jax_and_flax():
    code = (
        "import time, jax, flax; start = time.perf_counter(); import jaxnets;"
        "print(time.perf_counter() - start)"
    )
    # The bar is 0.3 s; the median of three, for machines that are busy.
    assert statistics.median(float(run_python(code)) for _ in range(3)) < 0.3


def test_import_loads_nothing_heavy():
    heavy = (
        "('tensorflow', 'tensorflow_datasets', 'matplotlib', 'orbax', 'sklearn', 'grain', 'PIL')"
    )
    code = f"import sys, jaxnets; print([m for m in {heavy} if m in sys.modules])"
    assert run_python(code) == "[]"


def test_rooms_that_others_take_home_load_nothing_heavy():
    """Another project that takes networks or optimizers pays for no data set, picture or file."""
    rooms = "augment, data, losses, metrics, models, nn, ops, optim, pretrained, train"
    heavy = (
        "('tensorflow', 'tensorflow_datasets', 'matplotlib', 'orbax', 'sklearn', 'grain', 'PIL',"
        " 'optuna', 'tqdm', 'tyro')"
    )
    code = (
        f"import sys; from jaxnets import {rooms}; print([m for m in {heavy} if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_every_offered_name_is_there():
    for name in jaxnets.__all__:
        assert getattr(jaxnets, name) is not None
    assert set(jaxnets.__all__) <= set(dir(jaxnets))
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        jaxnets.creat_model  # noqa: B018


def modules() -> list[Path]:
    return sorted((ROOT / "jaxnets").rglob("*.py"))


def test_rooms_import_downwards_only():
    wrong = []
    for path in modules():
        parts = path.relative_to(ROOT / "jaxnets").with_suffix("").parts
        if parts[0] == "__init__":
            continue
        own = FLOORS[parts[0]]
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                assert not name.startswith("experiments"), f"{path} imports {name}"
                room = name.split(".")[1] if name.startswith("jaxnets.") else None
                if room and room != parts[0] and FLOORS[room] > own:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_rooms_form_no_circle():
    """Also on one floor, where `test_rooms_import_downwards_only` allows both directions."""
    graph: dict[str, set[str]] = {}
    for path in modules():
        room = path.relative_to(ROOT / "jaxnets").with_suffix("").parts[0]
        if room == "__init__":
            continue
        for name in imported_names(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] == "jaxnets" and len(parts) > 1 and parts[1] in FLOORS:
                graph.setdefault(room, set()).update({parts[1]} - {room})
    # Raises a CycleError that names the rooms of a circle.
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(graph) <= set(order)


def test_files_are_small():
    # About 300 lines each; a longer one holds more than one idea.
    long = {
        str(p.relative_to(ROOT)): n
        for p in [*modules(), *sorted((ROOT / "experiments").rglob("*.py"))]
        if (n := len(p.read_text().splitlines())) > 400
    }
    assert long == {}


def imported_names(tree: ast.Module) -> list[str]:
    """Modules that a file imports, anywhere in it."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return names


def experiment_entries() -> dict[str, tuple[Path, ast.Module]]:
    """Module name → file and syntax tree of every file in experiments/ that has a `main`."""
    entries = {}
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(n, ast.FunctionDef) and n.name == "main" for n in tree.body):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            entries[name.removesuffix(".__main__")] = path, tree
    return entries


def test_every_experiment_says_how_to_run_it():
    entries = experiment_entries()
    assert entries
    for name, (path, tree) in entries.items():
        docstring = ast.get_docstring(tree) or ""
        assert f"python -m {name}" in docstring, path
        for word in ("Time:", "Result:"):
            assert word in docstring, f"{path} does not say its {word}"
        assert any(isinstance(n, ast.ClassDef) and n.name == "Config" for n in tree.body), path


# Files that lie directly in experiments/ have not found their topic yet.
def grouped(path: Path) -> bool:
    return path.parent != ROOT / "experiments"


def test_experiments_are_small_entries():
    long = {
        name: lines
        for name, (path, _) in experiment_entries().items()
        if grouped(path) and (lines := len(path.read_text().splitlines())) > 150
    }
    assert long == {}


def test_no_experiment_imports_another():
    wrong = []
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        if not grouped(path):
            continue
        # A chapter of the claims is values that `python -m experiments.claims` collects.
        claims = path.relative_to(ROOT / "experiments").parts[0] == "claims"
        for name in imported_names(ast.parse(path.read_text(encoding="utf-8"))):
            within = claims and name.startswith("experiments.claims")
            if name.split(".")[0] == "experiments" and not within:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_no_machine_is_named():
    pattern = re.compile(r"/work/|/root/|pypi-more|https?://(?!arxiv|doi)[^\s)]*(?:pypi|npmjs)")
    places = [p for folder in ("jaxnets", "experiments") for p in (ROOT / folder).rglob("*.py")]
    places += [ROOT / "README.md", ROOT / "pyproject.toml", *(ROOT / "notebooks").glob("*.ipynb")]
    assert [str(p) for p in places if pattern.search(p.read_text())] == []
