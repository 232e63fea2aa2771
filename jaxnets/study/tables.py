"""Results as text: numbers with units and intervals, and Markdown tables of them."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from jaxnets.study.statistics import Interval

Align = Literal["left", "right"]


def number(x: float, digits: int = 3) -> str:
    """So many significant digits, large numbers with separators, a true minus sign.

    Args:
        x: any number.
        digits: significant digits of what is below 1000.

    Returns:
        The text.

    >>> number(0.012345), number(12345.6), number(-2.0), number(1e-9)
    ('0.0123', '12,346', '−2', '1e-09')
    """
    if abs(x) >= 1000 and abs(x) < 1e9:
        text = f"{x:,.0f}"
    else:
        text = f"{x:.{digits}g}"
    return text.replace("-", "−", 1) if x < 0 else text


def with_unit(x: float, unit: str = "", digits: int = 3) -> str:
    """A number and its unit, which stands close to it only if it is a sign.

    Args:
        x: any number.
        unit: "×" and "%" are signs; other units stand behind a space.
        digits: see `number`.

    Returns:
        The text.

    >>> with_unit(2.5, "×"), with_unit(2.5, "ms"), with_unit(2.5)
    ('2.5×', '2.5 ms', '2.5')
    """
    close = unit in ("×", "%", "")
    return number(x, digits) + (unit if close else f" {unit}")


def span(interval: Interval, digits: int = 3) -> str:
    """The two ends of an interval.

    Args:
        interval: any of `jaxnets.study`'s.
        digits: see `number`.

    Returns:
        The text, "[low, high]".

    >>> span(Interval(0.25, 0.1, 0.4))
    '[0.1, 0.4]'
    """
    return f"[{number(interval.low, digits)}, {number(interval.high, digits)}]"


def plus_minus(interval: Interval, *, scale: float = 1.0, digits: int = 1) -> str:
    """The estimate and half the interval's width behind ±; the estimate alone if unbounded.

    Args:
        interval: symmetric, as of `mean_interval`.
        scale: both numbers are multiplied by it; 100 for a share in per cent.
        digits: after the point.

    Returns:
        The text.

    >>> plus_minus(Interval(0.612, 0.604, 0.62), scale=100)
    '61.2 ± 0.8'
    """
    estimate = f"{scale * interval.estimate:.{digits}f}"
    half = interval.high - interval.estimate
    return f"{estimate} ± {scale * half:.{digits}f}" if math.isfinite(half) else estimate


def markdown_table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    align: Sequence[Align] | None = None,
) -> str:
    """A Markdown table that ends with a line break.

    Args:
        header: of each column, with the unit: "time [ms]".
        rows: of entries: text as it is, an integer with separators, a float by `number`, an
            `Interval` as estimate and span, None as an empty entry. A vertical bar is escaped.
        align: "left" or "right" for each column; by default columns in which no row holds text
            are aligned right.

    Returns:
        The table.

    Raises:
        ValueError: a row, or ``align``, whose length is not the header's.

    >>> print(markdown_table(["network", "time [ms]"], [["lenet5", 1.2345], ["vgg16", 12345]]))
    | network | time [ms] |
    |---|--:|
    | lenet5 | 1.23 |
    | vgg16 | 12,345 |
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(
                f"rows: got one of {len(row)} entries; expected {len(header)}, as in the header"
            )
    if align is None:
        text = [any(isinstance(row[i], str) for row in rows) for i in range(len(header))]
        align = ["left" if one else "right" for one in text]
    if len(align) != len(header):
        raise ValueError(f"align: got {len(align)} entries; expected {len(header)}")
    rule = "|" + "|".join({"left": "---", "right": "--:"}[one] for one in align) + "|"
    lines = [_line(header), rule, *(_line(row) for row in rows)]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[Any]) -> str:
    return "| " + " | ".join(_entry(entry) for entry in entries) + " |"


def _entry(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if isinstance(value, Interval):
        return f"{number(value.estimate)} {span(value)}"
    if isinstance(value, int):
        return f"{value:,}"
    return number(float(value))
