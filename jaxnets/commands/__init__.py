"""The command ``jaxnets``: train, evaluate, predict, explain, inspect, models, benchmark.

Each sub-command is a module with a ``Config`` dataclass, which is its options, and a
``main(config)``, which a notebook can call. Only the module that is asked for is imported.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import Any

from jaxnets import command
from jaxnets.errors import suggest

__all__ = ["COMMANDS", "main"]

# Sub-command → what it does, and the option that a first word without dashes is the value of.
COMMANDS: dict[str, tuple[str, str | None]] = {
    "train": ("train a network on images, or fine-tune published weights", "dataset"),
    "evaluate": ("measure a trained network on a test set", "workdir"),
    "predict": ("classify image files", None),
    "explain": ("show which parts of a picture a prediction rests on", None),
    "inspect": ("a network's layers, cost and receptive fields", None),
    "models": ("list the networks, their sizes and whose weights fit", None),
    "benchmark": ("measure the speed of training", "model"),
}


def main(args: Sequence[str] | None = None) -> Any:
    """Run a sub-command: what the installed program ``jaxnets`` calls.

    Args:
        args: the command line (default: that of the process).

    Returns:
        What the sub-command returns.

    Raises:
        SystemExit: status 0 after a help text, 2 after a mistake, which is explained.

    >>> main(["models", "lenet5_1998"])["lenet5_1998"]["parameters"]
    lenet5_1998     60,000 parameters ...
    60000
    """
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(_usage(), file=sys.stdout if words else sys.stderr)
        raise SystemExit(0 if words else 2)
    if words[0] == "--version":
        import jaxnets

        print(f"jaxnets {jaxnets.__version__}")
        raise SystemExit(0)
    name = words[0]
    if name not in COMMANDS:
        print(f"error: there is no 'jaxnets {name}'. {suggest(name, COMMANDS)}", file=sys.stderr)
        print(_usage(), file=sys.stderr)
        raise SystemExit(2)
    module = importlib.import_module(f"jaxnets.commands.{name}")
    return command.run(
        module.main,
        module.Config,
        words[1:],
        positional=COMMANDS[name][1],
        choose_defaults=getattr(module, "choose_defaults", None),
        prog=f"jaxnets {name}",
        description=module.__doc__,
    )


def program() -> None:
    """The entry point: `main` without its result, which would become the exit status."""
    main()


def _usage() -> str:
    lines = ["usage: jaxnets COMMAND [OPTIONS]", ""]
    lines += [f"  {name:<11}{sentence}" for name, (sentence, _) in COMMANDS.items()]
    lines += ["", "jaxnets COMMAND --help shows the options of a command."]
    return "\n".join(lines)
