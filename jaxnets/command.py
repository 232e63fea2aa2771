"""From a command line to an experiment: options from a dataclass, errors without a traceback."""

import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from jaxnets.errors import JaxnetsError

C = TypeVar("C")


def run(
    main: Callable[[C], Any], config: type[C], args: Sequence[str] | None = None, **options: Any
) -> Any:
    """Parse ``args`` into a ``config`` and call ``main`` with it.

    Whatever a user can mend ends with one message on standard error and exit status 2: unknown
    options (tyro names the nearest) and every `JaxnetsError`. An interrupted run exits with 130.

    Args:
        main: the experiment's function.
        config: its dataclass; the fields are the options.
        args: the command line (default: that of the process).
        options: passed to `tyro.cli`; an experiment gives its docstring as ``description``.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     rate: float = 0.1
        >>> run(lambda config: config.rate * 2, Config, ["--rate", "0.5"])
        1.0
    """
    import tyro

    if options.get("description"):
        options["description"] = _paragraphs(options["description"])
    parsed = tyro.cli(config, args=args, **options)
    try:
        return main(parsed)
    except JaxnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        _end(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _end(130)


def _end(status: int) -> NoReturn:
    if "jaxnets.train.processes" in sys.modules:
        from jaxnets.train.processes import end_process

        end_process(status)
    sys.exit(status)


def _paragraphs(docstring: str) -> str:
    """Keep an experiment's command, time and result on lines of their own; tyro joins lines."""
    blocks = []
    for block in docstring.strip().split("\n\n"):
        lines = [re.sub(" {2,}(?=--)", " ", line.strip()) for line in block.splitlines()]
        blocks += lines if block.startswith("Command:") else [" ".join(lines)]
    return "\n\n".join(blocks)
