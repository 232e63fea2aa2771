"""Search spaces: which hyper-parameters are searched, within which limits, on which scale."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jaxnets.errors import JaxnetsError, UnknownNameError


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``; with ``log`` every decade is as likely as every other.

    Attributes:
        low, high: the limits, low < high; low > 0 on the logarithmic scale.
        log: draw log x uniformly instead of x.

    >>> Range(1e-4, 1e-1).at(0.5)
    0.00316...
    """

    low: float
    high: float
    log: bool = True

    def at(self, share: float) -> float:
        """The number that lies this share (0 to 1) of the way from low to high, on the scale."""
        if self.log:
            return math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        return self.low + share * (self.high - self.low)

    def share(self, value: float) -> float:
        """The inverse of `at`.

        >>> round(Range(1e-4, 1e-1).share(1e-2), 4)
        0.6667
        """
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Choice:
    """One of a few values: names, whole numbers.

    Attributes:
        values: at least one.

    >>> Choice(("none", "crop")).values
    ('none', 'crop')
    """

    values: tuple[Any, ...]


Space = Mapping[str, Range | Choice]


def check_space(space: Space, known: Iterable[str] | None = None) -> None:
    """Raise for a space that nothing can be drawn from.

    Args:
        space: name to `Range` or `Choice`.
        known: the names that may be searched; None for any.

    Raises:
        UnknownNameError: a name that is not known (the nearest are named).
        JaxnetsError: an empty space, limits that cross, a logarithmic range that reaches 0.

    >>> check_space({"learning_rate": Range(1e-1, 1e-4)})
    Traceback (most recent call last):
    ...
    jaxnets.errors.JaxnetsError: learning_rate: the lower limit 0.1 is not below the upper limit ...
    """
    if not space:
        raise JaxnetsError(
            "the search space is empty: name at least one hyper-parameter, for example "
            "learning_rate=log:1e-4:1e-1"
        )
    names = None if known is None else list(known)
    for name, part in space.items():
        if names is not None and name not in names:
            raise UnknownNameError("hyper-parameter", name, names)
        if isinstance(part, Choice):
            if not part.values:
                raise JaxnetsError(f"{name}: there is no value to choose from")
            continue
        if not isinstance(part, Range):
            raise JaxnetsError(f"{name}: expected a Range or a Choice, got {part!r}")
        if not (math.isfinite(part.low) and math.isfinite(part.high)):
            raise JaxnetsError(f"{name}: the limits must be finite, got {part.low} and {part.high}")
        if not part.low < part.high:
            raise JaxnetsError(
                f"{name}: the lower limit {part.low:g} is not below the upper limit {part.high:g}"
            )
        if part.log and not part.low > 0:
            raise JaxnetsError(
                f"{name}: a logarithmic range cannot reach {part.low:g}; take a small positive "
                "lower limit, or a linear range (without log:)"
            )


def parse_space(lines: Iterable[str]) -> dict[str, Range | Choice]:
    """A space from the words of a command line.

    ``name=log:low:high`` is a logarithmic range, ``name=low:high`` a linear one and
    ``name=a,b,c`` a choice.

    Args:
        lines: one word a name.

    Returns:
        Name → `Range` or `Choice`.

    >>> parse_space(["learning_rate=log:1e-4:1e-1", "augment=none,crop"])
    {'learning_rate': Range(low=0.0001, high=0.1, log=True),
     'augment': Choice(values=('none', 'crop'))}

    Raises:
        JaxnetsError: a word of another form.
    """
    space: dict[str, Range | Choice] = {}
    for line in lines:
        name, sign, text = line.partition("=")
        if not sign or not name or not text:
            raise JaxnetsError(
                f"{line!r} is no part of a search space: expected name=log:low:high, "
                "name=low:high or name=a,b,c"
            )
        if name in space:
            raise JaxnetsError(f"{name} is named twice in the search space")
        log = text.startswith("log:")
        limits = text.removeprefix("log:").split(":")
        if ":" not in text:
            space[name] = Choice(tuple(_value(word) for word in text.split(",") if word))
            continue
        try:
            low, high = map(float, limits)
        except ValueError:
            raise JaxnetsError(
                f"{line!r}: expected two numbers low:high, got {':'.join(limits)!r}"
            ) from None
        space[name] = Range(low, high, log)
    return space


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            pass
    return word


def describe_space(space: Space) -> dict[str, str]:
    """The space in the words of `parse_space`: readable, and comparable as JSON.

    Args:
        space: name to `Range` or `Choice`.

    Returns:
        Name → its words.

    >>> describe_space({"learning_rate": Range(1e-4, 0.1), "augment": Choice(("none", "crop"))})
    {'learning_rate': 'log:0.0001:0.1', 'augment': 'none,crop'}
    """
    return {
        name: ",".join(map(str, part.values))
        if isinstance(part, Choice)
        else f"{'log:' if part.log else ''}{part.low:.6g}:{part.high:.6g}"
        for name, part in space.items()
    }


def zoom(space: Space, best: Mapping[str, Any], factor: float) -> dict[str, Range | Choice]:
    """The space around a point, each range ``factor`` times narrower on its own scale.

    A window that would pass a limit is moved inside, so that it keeps its width. Choices stay open:
    what regularizes looks bad in short trials and good in long ones.

    Args:
        space: where ``best`` was found.
        best: one value a name.
        factor: above 1.

    Returns:
        The narrower space.

    Raises:
        JaxnetsError: a factor that is not above 1.

    >>> part = zoom({"learning_rate": Range(1e-4, 1.0)}, {"learning_rate": 1e-2}, 4)
    >>> f"{part['learning_rate'].low:.2g} {part['learning_rate'].high:.2g}"
    '0.0032 0.032'
    """
    if not factor > 1:
        raise JaxnetsError(f"zoom: the factor must be above 1, got {factor}")
    narrow: dict[str, Range | Choice] = {}
    for name, part in space.items():
        if isinstance(part, Choice):
            narrow[name] = part
            continue
        width = 1 / factor
        start = min(max(part.share(best[name]) - width / 2, 0.0), 1 - width)
        narrow[name] = Range(part.at(start), part.at(start + width), part.log)
    return narrow


def at_the_edge(space: Space, best: Mapping[str, Any], margin: float = 0.05) -> dict[str, str]:
    """Names whose best value lies at a limit, with the limit's name: the range was too narrow.

    Args:
        space: where ``best`` was found.
        best: one value a name.
        margin: the share of a range that counts as its limit.

    Returns:
        Name → "lower" or "upper".

    >>> at_the_edge({"learning_rate": Range(1e-4, 1e-1)}, {"learning_rate": 0.099})
    {'learning_rate': 'upper'}
    """
    found = {}
    for name, part in space.items():
        if isinstance(part, Range):
            share = part.share(best[name])
            if share < margin or share > 1 - margin:
                found[name] = "lower" if share < margin else "upper"
    return found
