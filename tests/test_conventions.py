"""Conventions of the whole library: random keys come first."""

import importlib
import inspect
import pkgutil
import re

import jaxnets

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


def takes_key_late(function) -> bool:
    """Whether a positional parameter that is a random key stands behind another one."""
    positional = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name not in ("self", "cls")
    ]
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

    def of_a_repetition(x, key: int): ...

    assert not takes_key_late(of_a_repetition)
