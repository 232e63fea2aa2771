"""From a command line to an experiment: options from a dataclass, errors without a traceback."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

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
        options: passed to `tyro.cli` (``description``, ``prog``).

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     rate: float = 0.1
        >>> run(lambda config: config.rate * 2, Config, ["--rate", "0.5"])
        1.0
    """
    import tyro

    parsed = tyro.cli(config, args=args, **options)
    try:
        return main(parsed)
    except JaxnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
