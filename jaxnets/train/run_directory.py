"""A run's directory: its configuration, its lock, and what happens when it is there already."""

import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from jaxnets.errors import JaxnetsError


class RunDirectory:
    """Opens ``path`` for one run, and for one process at a time.

    Args:
        path: made if it is not there.
        settings: what decides the run's result, as JSON values; kept in ``config.json``.
        accept_changes: go on with a run whose settings were others (its state is kept, the new
            settings hold from here on) instead of refusing.
        restart: begin anew; the old directory is moved aside to ``NAME.old-1``, never deleted.

    Raises:
        JaxnetsError: the directory cannot be written, another process is using it, or its
            settings differ (each is named with both values).

    >>> import tempfile
    >>> path = tempfile.mkdtemp()
    >>> with RunDirectory(path, {"epochs": 5}) as run:
    ...     run.summary is None  # it has not ended yet
    True
    >>> with RunDirectory(path, {"epochs": 9}, accept_changes=True) as run:
    ...     run.changes
    ['epochs: the run has 5, asked for 9']
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict[str, Any],
        *,
        accept_changes: bool = False,
        restart: bool = False,
    ):
        self.path = Path(path)
        settings = to_json(settings)
        _make(self.path)
        self._lock = _take_lock(self.path)
        try:
            self.moved_to = self._move_aside() if restart else None
            before = read_json(self.path / "config.json")
            changes = [] if before is None else _differences(before, settings)
            if changes and not accept_changes:
                listed = "\n  ".join(changes)
                raise JaxnetsError(
                    f"{self.path} holds a run with other settings:\n  {listed}\n"
                    "Give the old settings, another --workdir, --accept-changes to go on with the "
                    "new settings from its last checkpoint, or --restart to begin anew (the old "
                    "run is moved aside)."
                )
            if changes or before is None:
                write_json(self.path / "config.json", settings)
            if changes:
                # What was finished under the old settings is not finished under the new ones.
                (self.path / "summary.json").unlink(missing_ok=True)
            self.changes = changes
        except BaseException:
            self.close()
            raise

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results of a finished run, or None."""
        return read_json(self.path / "summary.json")

    def _move_aside(self) -> Path | None:
        if not (self.path / "config.json").exists():
            return None
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        self.close()
        self.path.rename(aside)
        _make(self.path)
        self._lock = _take_lock(self.path)
        return aside

    def close(self) -> None:
        """Let other processes use the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def settings_of(config: Any, names_from: type) -> dict[str, Any]:
    """The fields of ``config`` that class ``names_from`` declares, as JSON values."""
    values = {field.name: getattr(config, field.name) for field in fields(names_from)}
    return to_json(values)


def to_json(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, numbers of NumPy and JAX as Python's, else text.

    >>> import numpy as np
    >>> to_json({"rate": np.float32(0.5), "counts": np.arange(3), "path": Path("runs")})
    {'rate': 0.5, 'counts': [0, 1, 2], 'path': 'runs'}
    """
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON file's object, None if it is not there; a `JaxnetsError` if it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise JaxnetsError(f"{path} cannot be read as JSON: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; values as `to_json` makes them."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(to_json(value), indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{name}: the run has {before.get(name)!r}, asked for {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        # A setting that did not exist when the run began had no effect on it.
        if before.get(name) != now.get(name) and (name in before or now[name])
    ]


def _make(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise JaxnetsError(
            f"the run directory {path} cannot be written ({error.strerror}). "
            "Give a writable one with --workdir."
        ) from error


def _take_lock(path: Path) -> int:
    # An advisory lock of the operating system: it ends with the process, however that ends.
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows has no flock; a run there goes without the guard.
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JaxnetsError(
            f"another process is training in {path}. Wait for it, or give another --workdir."
        ) from error
    return lock
