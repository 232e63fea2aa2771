"""Measurements on disk: one JSON line each, so that an interrupted comparison goes on."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEY = ("library", "model", "mode", "batch_size", "dtype", "hardware")


def key_of(record: dict[str, Any]) -> tuple:
    """What makes a measurement the same measurement."""
    return tuple(record[name] for name in KEY)


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file of measurements; of repeated ones the last.

    A last line that was cut off by a kill is left out, and so measured again.
    """
    records: dict[tuple, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                records[key_of(record)] = record
            except (ValueError, KeyError, TypeError):
                continue
    return list(records.values())


def append(path: Path, record: dict[str, Any]) -> None:
    """Add one line, on a line of its own even behind a cut one, and hand it to the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(record).encode() + b"\n")
        file.flush()


def select(records: Iterable[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The records whose entries equal ``wanted``."""
    return [r for r in records if all(r.get(name) == value for name, value in wanted.items())]
