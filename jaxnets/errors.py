"""Errors that a user can act on: what was wrong, what was expected, what to do."""

import contextlib
import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator

# Spellings that lecture notes and searches in them bring along, and the word that is meant.
ALIASES = {
    "aaa": "aaai",
    "attedn": "attend",
    "augumentation": "augmentation",
    "bgfs": "bfgs",
    "cml": "icml",
    "cs213n": "cs231n",
    "facterizing": "factorizing",
    "fitnets": "fitnet",
    "heigh": "height",
    "icmk": "icml",
    "lbgfs": "lbfgs",
    "maxou": "maxout",
    "nerual": "neural",
    "predications": "predictions",
    "stassen": "strassen",
    "xavir": "xavier",
}


# No message is longer: what a file holds by the megabyte says nothing to whoever reads it.
LONGEST = 20_000


class StoppedTogether(KeyboardInterrupt):
    """Ctrl-C, heard by one process of a run and obeyed by all at the same step, their work saved.

    Whoever ends by it leaves in order, and meets the others at JAX's last barrier; a process that
    is simply gone would abort them there.
    """


class JaxnetsError(Exception):
    """A mistake in what the user asked for; experiments print it without a traceback, status 2.

    A message may quote files and names from anywhere: it is made `printable`.
    """

    def __init__(self, *arguments: object):
        super().__init__(*(printable(a, LONGEST) if isinstance(a, str) else a for a in arguments))


class UnknownNameError(JaxnetsError, ValueError):
    """A name that is not in a list of known names; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}. {suggest(name, self.known)}")


@contextlib.contextmanager
def writing(place: object) -> Iterator[None]:
    """Say in one message what the operating system has against a write, and where.

    Args:
        place: the file or folder that is written.

    Yields:
        Nothing; write inside.

    Raises:
        JaxnetsError: instead of an `OSError`.

    Example:
        >>> with writing("a.json"):
        ...     raise OSError(errno.ENOSPC, "No space left on device")
        Traceback (most recent call last):
        jaxnets.errors.JaxnetsError: cannot write a.json: No space left on device. Make ...
    """
    try:
        yield
    except OSError as error:
        raise JaxnetsError(explain_failure(f"write {place}", error)) from error


def explain_failure(action: str, error: BaseException) -> str:
    """One message for a write that failed, with what to do where the disk is full.

    Args:
        action: what could not be done.
        error: what the operating system said, or a library that quotes it.

    Returns:
        One or two sentences.

    Example:
        >>> explain_failure("write a.png", PermissionError(13, "Permission denied"))
        'cannot write a.png: Permission denied.'
    """
    number = getattr(error, "errno", None)
    quoted = re.search(r"(?:OS error |os_error_code=')(\d+)", str(error))
    if quoted:  # TensorStore's words, in two of its releases
        number = int(quoted[1])
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = os.strerror(number) if number else printable(lines[0], 300)
    full = " Make room there; the same command then goes on from what is saved."
    return f"cannot {action}: {reason.rstrip('.')}.{full if number in _FULL else ''}"


# A full disk, a used-up quota, and a file larger than the limit of the process.
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def printable(text: object, limit: int = 120) -> str:
    r"""Text from outside as a terminal may show it: short, and without control characters.

    Args:
        text: anything; a file's name for something, for example.
        limit: characters to keep; a longer text says how long it is.

    Returns:
        One text; lines stay lines, other unprintable characters become escapes.

    Example:
        >>> printable("a\x1b[2Jb")
        'a\\x1b[2Jb'
        >>> printable("x" * 1000, limit=3)
        'xxx… (1,000 characters)'
    """
    text = str(text)
    if len(text) > limit:
        text = f"{text[:limit]}… ({len(text):,} characters)"
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def suggest(name: str, known: Iterable[str]) -> str:
    """One sentence that names what the user may have meant, or all there is.

    Args:
        name: what the user wrote; a misspelling of `ALIASES` stands for the word it means.
        known: the names there are.

    Returns:
        "Did you mean …?" with up to three names, or "Known: …".

    Example:
        >>> suggest("lenet", ["lenet5", "vgg16"])
        "Did you mean 'lenet5'?"
        >>> suggest("xavir", ["he_normal", "xavier_normal"])
        "Did you mean 'xavier_normal'?"
        >>> suggest("zzz", ["lenet5", "vgg16"])
        'Known: lenet5, vgg16.'
    """
    known = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    wanted = resolve_alias(name)
    near = difflib.get_close_matches(wanted, lowered, n=3, cutoff=0.6)
    if wanted != str(name).lower():
        # The word is certain, so names that contain it come first, however long they are.
        near = [c for c in lowered if wanted in c] + [c for c in near if wanted not in c]
    if near:
        return "Did you mean " + " or ".join(repr(lowered[n]) for n in near[:3]) + "?"
    shown = ", ".join(known[:40]) + (", …" if len(known) > 40 else "")
    return f"Known: {shown}."


def resolve_alias(name: str) -> str:
    """The name in lower case, its misspelled words replaced by those that are meant.

    Example:
        >>> resolve_alias("L-BGFS"), resolve_alias("Xavir_normal"), resolve_alias("ResNet-50")
        ('l-bfgs', 'xavier_normal', 'resnet-50')
    """
    words = re.split(r"([^a-z0-9]+)", str(name).lower())
    return "".join(ALIASES.get(word, word) for word in words)
