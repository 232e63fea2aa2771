"""Errors that a user can act on: what was wrong, what was expected, what to do."""

import difflib
from collections.abc import Iterable


class JaxnetsError(Exception):
    """A mistake in what the user asked for; experiments print it without a traceback, status 2."""


class UnknownNameError(JaxnetsError, ValueError):
    """A name that is not in a list of known names; the message offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        self.kind, self.name, self.known = kind, name, sorted(known)
        super().__init__(f"unknown {kind} {name!r}. {suggest(name, self.known)}")


def suggest(name: str, known: Iterable[str]) -> str:
    """One sentence that names what the user may have meant, or all there is.

    >>> suggest("lenet", ["lenet5", "vgg16"])
    "Did you mean 'lenet5'?"
    >>> suggest("zzz", ["lenet5", "vgg16"])
    'Known: lenet5, vgg16.'
    """
    known = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(str(name).lower(), lowered, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(repr(lowered[n]) for n in near) + "?"
    shown = ", ".join(known[:40]) + (", …" if len(known) > 40 else "")
    return f"Known: {shown}."
