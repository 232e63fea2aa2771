"""A page of pictures and what they show, in one HTML file that needs nothing beside itself."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.study.page import STYLE


class Section(NamedTuple):
    """One part of a page.

    Attributes:
        title: its heading.
        text: a paragraph, or several with an empty line between.
        figure: a Matplotlib figure, or None.
        rows: of a table, the first one its heading; may be empty.

    >>> Section("Filters", "No filter is dead.").rows
    ()
    """

    title: str
    text: str
    figure: Any = None
    rows: Sequence[Sequence[Any]] = ()


def write_page(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """Write sections as an HTML page with their figures inside.

    Args:
        path: of the file; folders above it are made.
        title: of the page.
        sections: in order.

    Returns:
        The path.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = write_page(f"{folder}/page.html", "Page", [Section("One", "Text.")])
    ...     "<h2>One</h2>" in file.read_text()
    True
    """
    parts = [f"<h1>{html.escape(title)}</h1>"]
    for section in sections:
        parts.append(f"<section><h2>{html.escape(section.title)}</h2>")
        for paragraph in section.text.split("\n\n"):
            parts.append(f"<p>{html.escape(paragraph)}</p>")
        if section.rows:
            parts.append(_table(section.rows))
        if section.figure is not None:
            parts.append(f'<img alt="{html.escape(section.title)}" src="{_embed(section.figure)}">')
        parts.append("</section>")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n".join(parts)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
        f"</title><style>{STYLE}</style><body>\n{body}\n</body></html>\n",
        encoding="utf-8",
    )
    return path


def _table(rows: Sequence[Sequence[Any]]) -> str:
    head, *body = rows
    lines = ["".join(f"<th>{html.escape(str(cell))}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) for row in body]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _embed(figure) -> str:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
