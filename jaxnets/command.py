"""From a command line to an experiment: options from a dataclass, errors without a traceback."""

import contextlib
import dataclasses
import errno
import importlib.util
import io
import math
import mmap
import os
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from jaxnets.errors import JaxnetsError, StoppedTogether, explain_failure, printable
from jaxnets.host_memory import reuse_freed_memory

C = TypeVar("C")

# What people type → the options that may be meant, the likeliest first; only those that a command
# has count.
SPELLINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("lr", "learning", "base-lr", "initial-lr", "rate"), ("learning-rate",)),
    **dict.fromkeys(("batch", "bs", "batchsize"), ("batch-size",)),
    **dict.fromkeys(("wd", "l2", "decay"), ("weight-decay",)),
    **dict.fromkeys(("arch", "architecture", "net", "network"), ("model",)),
    **dict.fromkeys(("data", "data-path", "folder"), ("dataset",)),
    **dict.fromkeys(
        ("dir", "run", "out", "outdir", "out-dir", "output", "output-dir"), ("workdir",)
    ),
    **dict.fromkeys(("logdir", "log-dir", "work-dir", "save-dir", "run-dir"), ("workdir",)),
    **dict.fromkeys(("num-epochs", "n-epochs", "epoch", "max-epochs"), ("epochs",)),
    **dict.fromkeys(("opt", "optim"), ("optimizer",)),
    **dict.fromkeys(("scheduler", "lr-schedule", "lr-scheduler", "sched"), ("schedule",)),
    **dict.fromkeys(("warmup", "warm-up"), ("warmup-epochs",)),
    **dict.fromkeys(("ckpt", "checkpoint", "pretrained", "init", "resume-from"), ("weights",)),
    **dict.fromkeys(("img-size", "imgsz", "size", "resolution", "side"), ("image-size",)),
    **dict.fromkeys(("picture", "image", "photo", "photos", "input"), ("images", "image")),
    "images": ("image",),
    **dict.fromkeys(
        ("val", "val-split", "valid", "validation-split", "val-share", "valid-share"),
        ("validation",),
    ),
    **dict.fromkeys(("train", "train-size", "num-train"), ("train-examples",)),
    **dict.fromkeys(("test", "test-size", "num-test"), ("test-examples",)),
    **dict.fromkeys(("minutes", "max-time", "time"), ("max-minutes",)),
    **dict.fromkeys(("tol",), ("tolerance",)),
    **dict.fromkeys(("repeats", "repetitions"), ("rounds",)),
    **dict.fromkeys(("output-file", "save-to", "results"), ("target", "workdir")),
    **dict.fromkeys(("patience", "early-stop"), ("early-stopping",)),
    **dict.fromkeys(("gpus", "num-devices", "n-devices", "ngpu"), ("devices",)),
    **dict.fromkeys(("smoothing",), ("label-smoothing",)),
    **dict.fromkeys(("grad-clip", "clip", "clip-grad"), ("clip-norm",)),
    **dict.fromkeys(("accumulate", "grad-accum", "gradient-accumulation"), ("microbatches",)),
    **dict.fromkeys(("augmentation", "aug"), ("augment",)),
    **dict.fromkeys(("precision",), ("dtype",)),
    **dict.fromkeys(("class-names", "labels"), ("classes",)),
    **dict.fromkeys(("topk", "top-k", "k"), ("top",)),
    **dict.fromkeys(("names", "networks"), ("models",)),
}
# What other programs have an option for and this one does not need.
NOT_NEEDED = {
    **dict.fromkeys(
        ("amp", "fp16", "half", "mixed-precision"),
        "not needed; --dtype bfloat16 computes in half precision, without a loss scale",
    ),
    **dict.fromkeys(
        ("cuda", "gpu", "cpu", "tpu", "device", "accelerator"),
        "not needed: JAX takes the accelerator that it finds; the variable JAX_PLATFORMS=cpu "
        "chooses another, --devices N how many",
    ),
    **dict.fromkeys(
        ("workers", "num-workers", "pin-memory"),
        "not needed: images are decoded once into a memory-mapped cache",
    ),
    "resume": "not needed: the same command again resumes; --restart begins anew",
}


def run(
    main: Callable[[C], Any],
    config: type[C],
    args: Sequence[str] | None = None,
    *,
    positional: str | None = None,
    choose_defaults: Callable[[C], C] | None = None,
    **options: Any,
) -> Any:
    """Parse ``args`` into a ``config`` and call ``main`` with it.

    Whatever a user can mend ends with one message on standard error and exit status 2: unknown
    options (tyro names the nearest) and every `JaxnetsError`. An interrupted run exits with 130.
    What other programs call an option (``--lr``, ``--bs``, ``--arch``) is understood. Memory is
    kept for reuse (`jaxnets.reuse_freed_memory`).

    Args:
        main: the experiment's function.
        config: its dataclass; the fields are the options.
        args: the command line (default: that of the process).
        positional: the option that a first word without dashes is the value of.
        choose_defaults: what was asked for → the same with defaults that suit it; options that
            were given stay as they are.
        options: passed to `tyro.cli`; an experiment gives its docstring as ``description``.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Config:
        ...     learning_rate: float = 0.1
        >>> run(lambda config: config.learning_rate * 2, Config, ["--lr", "0.5"])
        1.0
    """
    import tyro

    _print_anything()
    reuse_freed_memory()
    if options.get("description"):
        options["description"] = _paragraphs(options["description"])
    words = list(sys.argv[1:] if args is None else args)
    try:
        known = [f.name.replace("_", "-") for f in dataclasses.fields(config)]  # type: ignore[arg-type]
        words = respell(
            words,
            known,
            positional=positional,
            without_dashes=_positionals(config),
            values=_values(config),
        )
        parsed = tyro.cli(config, args=words, **options)
        check_xla_flags(os.environ.get("XLA_FLAGS", ""))
        if choose_defaults is not None:
            parsed = tyro.cli(config, args=words, default=choose_defaults(parsed), **options)
        result = main(parsed)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result
    except JaxnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        _end(2)
    except StoppedTogether:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
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


def respell(
    words: Sequence[str],
    known: Sequence[str],
    *,
    positional: str | None = None,
    without_dashes: Sequence[str] = (),
    values: Mapping[str, float] | None = None,
) -> list[str]:
    """A command line in this command's own spelling.

    Args:
        words: the command line.
        known: the command's options, without dashes in front.
        positional: the option that a word without dashes is the value of, where it does not belong
            to an option before it.
        without_dashes: options whose values stand alone; those given as ``--images a b``, and words
            between other options, are put in front without their name.
        values: how many values each option takes (default: one).

    Returns:
        The words, options that go by another name elsewhere replaced by the command's own.

    Raises:
        JaxnetsError: an option that other programs need and this one does not.

    >>> known = ["dataset", "learning-rate", "epochs"]
    >>> respell(["photos", "--lr=0.1", "--epochs", "2"], known, positional="dataset")
    ['--dataset', 'photos', '--learning-rate=0.1', '--epochs', '2']
    >>> respell(["--epochs", "2", "photos"], known, positional="dataset")
    ['--epochs', '2', '--dataset', 'photos']
    """
    front: list[str] = []
    rest: list[str] = []
    free = 0.0  # how many of the next words belong to the option before them
    alone = False
    for word in words:
        if word == "-h":
            rest.append(word)
            continue
        if not word.startswith("--"):
            if free < 1 and positional:
                rest.append(f"--{positional}")
                free = 1
            (front if alone or (free < 1 and without_dashes) else rest).append(word)
            free = max(0.0, free - 1)
            continue
        flag, equals, value = _respell_option(word, known).partition("=")
        name = flag.removeprefix("--")
        free = _free_values(name, known, values or {}) - bool(equals)
        alone = name in without_dashes
        if not alone:
            rest.append(f"{flag}{equals}{value}")
        elif equals:
            front.append(value)
    return [*front, *rest]


def _respell_option(word: str, known: Sequence[str]) -> str:
    """``--lr=0.1`` as ``--learning-rate=0.1``; underscores are dashes."""
    flag, equals, value = word.partition("=")
    name = flag.removeprefix("--").replace("_", "-")
    if name in known or name.removeprefix("no-") in known:
        return f"--{name}{equals}{value}"
    meant = [option for option in SPELLINGS.get(name, ()) if option in known]
    if not meant and name in NOT_NEEDED:
        raise JaxnetsError(f"{flag} is {NOT_NEEDED[name]}")
    return f"--{meant[0]}{equals}{value}" if meant else word


def _free_values(name: str, known: Sequence[str], values: Mapping[str, float]) -> float:
    if name in known:
        return values.get(name, 1)
    # Of ``--no-quiet`` there is nothing to give; of ``--help`` and of mistakes nothing is known.
    return 0 if name.removeprefix("no-") in known else math.inf


def _values(config: type) -> dict[str, float]:
    """How many values each of a dataclass's options takes: a flag none, a tuple any number."""
    found = {}
    for name, hint in get_type_hints(config).items():
        kinds = [kind for kind in (get_args(hint) or (hint,)) if kind is not type(None)]
        kind = kinds[0] if isinstance(hint, types.UnionType) and len(kinds) == 1 else hint
        parts = get_args(kind) if get_origin(kind) is tuple else ()
        plain = parts and all(part in (str, int, float, Path) for part in parts)
        many = len(parts) if plain else math.inf
        found[name.replace("_", "-")] = 0 if kind is bool else many if parts else 1
    return found


def _positionals(config: type) -> list[str]:
    """The names of a dataclass's fields that are annotated as `tyro.conf.Positional`."""
    import tyro

    marker = getattr(Annotated[int, tyro.conf.Positional], "__metadata__")[0]  # noqa: B009
    hints = get_type_hints(config, include_extras=True)
    return [
        name.replace("_", "-")
        for name, hint in hints.items()
        if marker in getattr(hint, "__metadata__", ())
    ]


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
