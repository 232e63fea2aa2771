"""Conventions of the whole library: keys come first, plain words, one style of docstring."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import jaxnets

ROOT = Path(__file__).resolve().parents[1]

KEY = re.compile(r"(?:.*_)?(?:key|rng)")
# The state is made from a network, an optimizer and an example; the key comes with them, in the
# order in which Flax's and Optax's own constructors take them.
KEY_AFTER_NETWORK = {
    "jaxnets.study.repeated_training.plain_state",
    "jaxnets.train.state.create_state",
    "jaxnets.transfer.freeze.transfer_state",
}


def public_functions():
    """(dotted name, function) of every public function and method that the library defines."""
    for found in pkgutil.walk_packages(jaxnets.__path__, "jaxnets."):
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != found.name:
                continue
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", function)  # class and static methods
                    if inspect.isfunction(function) and not re.match("_(?!_call__)", method):
                        yield f"{found.name}.{name}.{method}", inspect.unwrap(function)
            elif callable(value) and inspect.isfunction(inspect.unwrap(value)):
                yield f"{found.name}.{name}", inspect.unwrap(value)


def names_of(function) -> list[str]:
    """The names of a function's parameters."""
    return list(inspect.signature(function).parameters)


def takes_key_late(function) -> bool:
    """Whether a positional parameter that is a random key stands behind another one."""
    positional = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in ("self", "cls")
    ]
    # Attention has keys of another kind, which queries meet.
    positional = [p for p in positional if not (p.name == "key" and "query" in names_of(function))]
    # What is annotated as an int is the number of a repetition.
    keys = [KEY.fullmatch(p.name) and p.annotation not in (int, "int") for p in positional]
    keys = [bool(key) for key in keys]
    return keys != sorted(keys, reverse=True)


def test_random_keys_come_first():
    functions = dict(public_functions())
    assert len(functions) > 500  # the walk finds the library
    late = {name for name, function in functions.items() if takes_key_late(function)}
    # An optional key is a keyword; all others come first: dropout(key, x, rate).
    assert late - KEY_AFTER_NETWORK == set()


def test_a_late_key_is_found():
    assert takes_key_late(lambda x, key: None)
    assert takes_key_late(lambda key, x, init_key: None)
    assert not takes_key_late(lambda init_key, noise_rng, x: None)
    assert not takes_key_late(lambda x, *, key=None: None)
    assert not takes_key_late(lambda query, key, value: None)

    def of_a_repetition(x, key: int): ...

    assert not takes_key_late(of_a_repetition)


# Papers and their sections are cited, and things have the names that the field gives them.
UNWANTED = re.compile(
    r"""\b[Tt]he\ notes\b | \b[Nn]otes?'?\ L\d+ | (?<!["\w])\b[A-Z]\d{2}\b(?!") | \bL\d{3}\b
    | written_out | \bwritten\s+out\b | \bby\s+heart\b | \bdearest\b | \b[Dd]onors?\b
    | \b[Tt]ransplant | \btells?\s+the\s+truth\b | \bclass\ Place\b""",
    re.VERBOSE,
)
# Still to be reworded; shorten this, never lengthen it.
NOT_YET_REWORDED: tuple[str, ...] = ()


def rooms() -> list[str]:
    """Folders and files of the first level, such as ``jaxnets/ops`` and ``tests/catalogue.py``."""
    return sorted(
        f"{top}/{path.name}"
        for top in ("jaxnets", "experiments", "tests")
        for path in (ROOT / top).iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.rglob("*.py")))
    )


@pytest.mark.parametrize("room", rooms())
def test_words_are_the_fields(room):
    if room in NOT_YET_REWORDED or room == f"tests/{Path(__file__).name}":
        return
    path = ROOT / room
    found = [
        f"{file.relative_to(ROOT)}:{text[: match.start()].count(chr(10)) + 1}: {match[0]!r}"
        for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))
        for text in [file.read_text()]
        for match in UNWANTED.finditer(text)
    ]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["see the notes", "Notes L31", "(L125, L233)", "(F07)", "(A01–A04)", "row B12", "the donor"],
)
def test_unwanted_words_are_found(text):
    assert UNWANTED.search(text)


@pytest.mark.parametrize("text", ["L2 penalty", "F(4, 3)", '"F32"', "the donation", "rows L"])
def test_wanted_words_are_not(text):
    assert not UNWANTED.search(text)


# One version's CPU backend computes XLA's windows wrongly (tests/ops/test_pooling_canary.py):
# everything pools by jaxnets.ops.
BARE_WINDOW = re.compile(
    r"\breduce_window\w*\(|\b(?:nn|linen)\.(?:max|min|avg)_pool\b|linen\.pooling"
)
# Sums over windows of stride 1, which the canary shows to be right.
BARE_WINDOW_ALLOWED = {"jaxnets/ops/windows.py", "jaxnets/ops/local_response_norm.py"}


def test_pooling_is_that_of_ops():
    found = {
        str(path.relative_to(ROOT))
        for top in ("jaxnets", "experiments", "notebooks")
        for path in (ROOT / top).rglob("*")
        if path.suffix in (".py", ".ipynb") and BARE_WINDOW.search(path.read_text())
    }
    assert found == BARE_WINDOW_ALLOWED


@pytest.mark.parametrize("text", ["lax.reduce_window(x)", "nn.max_pool(x)", "linen.avg_pool"])
def test_bare_windows_are_found(text):
    assert BARE_WINDOW.search(text)
    assert not BARE_WINDOW.search("ops.max_pool(x)")


# Rooms whose public docstrings do not all have their sections yet; shorten this, never lengthen it.
NOT_YET_DOCUMENTED: tuple[str, ...] = ()
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields):")


def sections(docstring: str) -> dict[str, list[str]]:
    """The lines of each section of a docstring in Google's style."""
    found: dict[str, list[str]] = {}
    current = None
    for line in inspect.cleandoc(docstring).splitlines():
        if not line.startswith(" ") and line:
            match = SECTION.fullmatch(line)
            current = found.setdefault(match[1], []) if match else None
        elif line and current is not None:
            current.append(line)
    return found


def faults(value) -> list[str]:
    """What the docstring of a public function or class lacks."""
    is_class = inspect.isclass(value)
    text = value.__doc__ or ""
    if not text or (is_class and text.startswith(f"{value.__name__}(")):  # made by dataclass
        return ["a docstring"]
    found = sections(text)
    missing = [
        f"four spaces under {name}:"
        for name, lines in found.items()
        if lines and min(len(line) - len(line.lstrip()) for line in lines) != 4
    ]
    if re.search(r"^\s*(Args \(fields\)|Args, \w+|Fields|Params|Parameters?):$", text, re.M):
        missing.append("Google's names of sections")
    if is_class and issubclass(value, BaseException):
        return missing
    if ">>>" not in text:
        missing.append("an example")
    if is_class:
        section = "Attributes"
        if dataclasses.is_dataclass(value):
            names = {f.name for f in dataclasses.fields(value)} - {"parent", "name"}
        else:
            names = set(getattr(value, "_fields", ()))
    else:
        signature = inspect.signature(value)
        section, names = "Args", set(signature.parameters)
        if signature.return_annotation not in (None, "None") and "Returns" not in found:
            missing.append("Returns:")
    described = set()
    for line in found.get(section, []):
        if match := re.match(r" {4}([\w*]+(?:, [\w*]+)*):", line):
            described |= {name.strip("*") for name in match[1].split(", ")}
    return missing + [f"{section}: {name}" for name in sorted(names - described)]


def public_rooms() -> list[str]:
    return [
        found.name
        for found in pkgutil.walk_packages(jaxnets.__path__, "jaxnets.")
        if hasattr(importlib.import_module(found.name), "__all__")
    ]


@pytest.mark.parametrize("room", public_rooms())
def test_docstrings_have_their_sections(room):
    if any(room == other or room.startswith(f"{other}.") for other in NOT_YET_DOCUMENTED):
        return
    module = importlib.import_module(room)
    values = {name: getattr(module, name) for name in module.__all__}
    lacking = {
        name: faults(value)
        for name, value in values.items()
        if inspect.isclass(value) or inspect.isfunction(value) or hasattr(value, "__wrapped__")
    }
    assert {name: found for name, found in lacking.items() if found} == {}


def test_missing_sections_are_found():
    def half(x, y):
        """Half.

        Args:
          x: two spaces.
        """

    assert faults(half) == [
        "four spaces under Args:",
        "an example",
        "Returns:",
        "Args: x",
        "Args: y",
    ]
