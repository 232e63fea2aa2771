"""Measurements on disk: one JSON line each, so that an interrupted comparison goes on."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEY = ("library", "model", "mode", "batch_size", "dtype", "hardware")


def record_key(record: dict[str, Any]) -> tuple:
    """What makes two measurements measurements of the same thing.

    Args:
        record: has an entry for each name of `KEY`.

    Returns:
        The values of `KEY`.

    >>> record_key(dict.fromkeys(KEY, 1) | {"seconds": 0.5})
    (1, 1, 1, 1, 1, 1)
    """
    return tuple(record[name] for name in KEY)


def read_records(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a file of measurements; of repeated ones the last.

    A last line that was cut off by a kill is left out, and so measured again.

    Args:
        path: the file; none is there before the first measurement.

    Returns:
        Records.

    >>> read_records(Path("/nowhere/measurements.jsonl"))
    []
    """
    records: dict[tuple, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                records[record_key(record)] = record
            except (ValueError, KeyError, TypeError):
                continue
    return list(records.values())


def append_record(path: Path, record: dict[str, Any]) -> None:
    """Add one line, on a line of its own even behind a cut one, and hand it to the disk.

    Args:
        path: the file; its directory is made where it is missing.
        record: JSON values.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "measurements.jsonl"
    >>> append_record(path, dict.fromkeys(KEY, 1) | {"seconds": 0.5})
    >>> read_records(path)[0]["seconds"]
    0.5
    """
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
    """The records whose entries equal ``wanted``.

    Args:
        records: of `read_records`.
        wanted: name of an entry → its value.

    Returns:
        A list.

    >>> select([{"model": "vgg16"}, {"model": "mlp"}], model="mlp")
    [{'model': 'mlp'}]
    """
    return [r for r in records if all(r.get(name) == value for name, value in wanted.items())]
