"""`metrics.jsonl`: one JSON object a line; other places on request."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxnets.errors import JaxnetsError, writing
from jaxnets.train.run_directory import write_text
from jaxnets.train.trackers import Tracker


class MetricsLog:
    """Appends measurements to ``metrics.jsonl``; a resumed run continues the same file.

    Args:
        directory: the run's directory.
        after_step: lines of later steps are removed first: the run that wrote them was killed
            after its last checkpoint and will write them again.
        trackers: where every record goes as well (`jaxnets.train.trackers.open_trackers`); they
            are closed with the log.

    Example:
        >>> import tempfile
        >>> directory = tempfile.mkdtemp()
        >>> with MetricsLog(directory) as log:
        ...     log.write({"step": 1, "kind": "train", "loss": 2.5})
        >>> read_metrics(directory)
        [{'step': 1, 'kind': 'train', 'loss': 2.5}]
    """

    def __init__(
        self, directory: str | Path, *, after_step: int = 0, trackers: Sequence[Tracker] = ()
    ):
        self.path = Path(directory) / "metrics.jsonl"
        self._trackers = tuple(trackers)
        kept = [line for line in read_metrics(directory) if line["step"] <= after_step]
        # Through a second file, so that a kill in between loses nothing.
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        with writing(self.path):
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 (closed by close)

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; it has at least ``step`` and ``kind`` ("train", "test", …)."""
        with writing(self.path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        for tracker in self._trackers:
            tracker.write(record)

    def close(self) -> None:
        with writing(self.path):
            self._file.close()
        for tracker in self._trackers:
            tracker.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(directory: str | Path) -> list[dict[str, Any]]:
    """All whole records of a run's ``metrics.jsonl``; what was cut short or damaged is left out.

    Args:
        directory: the run's directory.

    Returns:
        The records in the order in which they were written, each with ``step``, ``kind`` and
        metrics; none where there is no such file.

    >>> import tempfile
    >>> directory = Path(tempfile.mkdtemp())
    >>> whole = '{"step": 10, "kind": "train", "loss": 2.5}'
    >>> _ = (directory / "metrics.jsonl").write_text(whole + "\\n" + whole[:20])
    >>> read_metrics(directory)
    [{'step': 10, 'kind': 'train', 'loss': 2.5}]
    """
    path = Path(directory) / "metrics.jsonl"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise JaxnetsError(f"{path} cannot be read: {error.strerror}") from error
    records = []
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        whole = isinstance(record, dict) and "kind" in record
        if whole and isinstance(record.get("step"), int | float):
            records.append(record)
    return records


# What a loop calls with a record; `MetricsLog.write` is one, a list's `append` another.
Record = Callable[[dict[str, Any]], None]
