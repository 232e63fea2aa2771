"""From a command line to an experiment: options from a dataclass, errors without a traceback."""

import contextlib
import errno
import importlib.util
import io
import mmap
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from jaxnets.errors import JaxnetsError, explain_failure, printable

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

    _print_anything()
    if options.get("description"):
        options["description"] = _paragraphs(options["description"])
    parsed = tyro.cli(config, args=args, **options)
    try:
        check_xla_flags(os.environ.get("XLA_FLAGS", ""))
        result = main(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result
    except JaxnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        _end(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        _end(130)
    except BrokenPipeError:
        # Whoever read it is gone, as `head` is; nothing more may be written there at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        print("error: the output was closed before all of it was written", file=sys.stderr)
        _end(2)
    except (OSError, RuntimeError) as error:
        sentence = _about_the_machine(error)
        if sentence is None:
            raise
        print(f"error: {sentence}", file=sys.stderr)
        _end(2)


def _about_the_machine(error: OSError | RuntimeError) -> str | None:
    """One sentence on a file, a disk or a device that is not as needed; None: a fault of ours."""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
            return explain_failure(f"write {error.filename or 'a file'}", error)
        return f"{error.filename}: {error.strerror}" if error.filename else None
    if "backend" not in str(error):
        return None
    asked = os.environ.get("JAX_PLATFORMS")
    where = f"on JAX_PLATFORMS={asked}" if asked else "on this machine's devices"
    return f"JAX cannot work {where}: {printable(str(error).splitlines()[0], 300)}"


def check_xla_flags(flags: str) -> None:
    """Refuse flags that XLA does not know: it would abort the process without a sentence.

    Args:
        flags: the variable ``XLA_FLAGS``.

    Raises:
        JaxnetsError: a flag whose name is in none of JAX's libraries.

    Example:
        >>> check_xla_flags("--xla_cpu_enable_fast_math=false")
        >>> check_xla_flags("--xla_no_such_flag=1")
        Traceback (most recent call last):
        jaxnets.errors.JaxnetsError: XLA_FLAGS: this jaxlib knows no flag --xla_no_such_flag
    """
    names = re.findall(r"(?:^|\s)--(xla_\w+)", flags)
    for name in [n for n in names if not _libraries_hold(n.encode())] if names else ():
        raise JaxnetsError(f"XLA_FLAGS: this jaxlib knows no flag --{name}")


def _libraries_hold(name: bytes) -> bool:
    places = []
    for package in ("jaxlib", "jax_plugins"):
        spec = importlib.util.find_spec(package)
        places += list(spec.submodule_search_locations or ()) if spec else []
    libraries = [path for place in places for path in Path(place).rglob("*.so*") if path.is_file()]
    for path in libraries:
        with (
            path.open("rb") as file,
            contextlib.suppress(OSError, ValueError),  # empty files
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            if content.find(name) >= 0:
                return True
    return not libraries  # built in another way: nothing can be said


def _print_anything() -> None:
    """Where a terminal or a pipe has a small character set (cp1252), escape what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


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
