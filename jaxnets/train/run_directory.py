"""A run's directory: its configuration, its lock, and what happens when it is there already."""

import contextlib
import errno
import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from jaxnets.errors import JaxnetsError, printable, writing

# What a run leaves, as patterns of names; evaluations and pictures of its tasks among it.
RUN_FILES = ("*.json", "*.jsonl", "*.png", "checkpoints", "tensorboard", ".run-id")
RUN_ID = ".run-id"


class RunDirectory:
    """Opens ``path`` for one run, and for one process at a time.

    Args:
        path: made if it is not there.
        settings: what decides the run's result, as JSON values; kept in ``config.json``.
        accept_changes: go on with a run whose settings were others (its state is kept, the new
            settings hold from here on) instead of refusing.
        defaults: what settings stood for before they existed: a run whose ``config.json`` lacks
            one of them is taken to have its value here.
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
    >>> with RunDirectory(path, {"epochs": 9, "loss": "map"}, defaults={"loss": "map"}) as run:
    ...     run.changes  # a run from before there was a choice
    []
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict[str, Any],
        *,
        accept_changes: bool = False,
        restart: bool = False,
        defaults: Mapping[str, Any] | None = None,
    ):
        self.path = local_path(path)
        settings = to_json(settings)
        self._lock = None
        self._made = not self.path.exists()
        _make(self.path)
        self._lock = _take_lock(self.path)
        try:
            self.moved_to = self._move_aside() if restart else None
            before = self._settings_before(accept_changes)
            self._began = before is None
            changes = []
            if before is not None:
                known = {k: v for k, v in to_json(dict(defaults or {})).items() if k in settings}
                changes = _differences({**known, **before}, settings)
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
            if run_id(self.path) is None:
                write_text(self.path / RUN_ID, uuid.uuid4().hex)
            self.changes = changes
        except BaseException:
            self.close()
            raise

    def _settings_before(self, accept_changes: bool) -> dict[str, Any] | None:
        try:
            return read_json(self.path / "config.json")
        except JaxnetsError as error:
            if accept_changes:
                return {}
            raise JaxnetsError(
                f"{error}. Give --accept-changes to go on with the settings asked for now, or "
                "--restart to begin anew (the old run is moved aside)."
            ) from error

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results of a finished run, or None; a damaged summary is made anew."""
        try:
            return read_json(self.path / "summary.json")
        except JaxnetsError:
            return None

    def _move_aside(self) -> Path | None:
        if not (self.path / "config.json").exists():
            return None
        whole, here = self.path.resolve(), Path.cwd()
        if whole != here and whole not in here.parents:
            aside = _free(whole.with_name(f"{whole.name}.old"))
            self.close()
            try:
                self.path.rename(aside)
                _make(self.path)
                return aside
            except OSError:
                pass  # a mount point, such as a container's volume
            finally:
                self._lock = _take_lock(self.path)
        # A directory that must stay where it is: the run's own files move within it.
        aside = _free(self.path / "old")
        with writing(aside):
            aside.mkdir()
            for pattern in RUN_FILES:
                for file in self.path.glob(pattern):
                    file.rename(aside / file.name)
        return aside

    def close(self) -> None:
        """Let other processes use the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        if kind is not None and self._began and not self._has_progress():
            # The run failed before it had come to anything: it leaves no trace.
            with contextlib.suppress(OSError):
                for name in ("config.json", RUN_ID, "metrics.jsonl"):
                    (self.path / name).unlink(missing_ok=True)
                if (self.path / "checkpoints").is_dir():
                    (self.path / "checkpoints").rmdir()
                if self._made:
                    (self.path / ".lock").unlink(missing_ok=True)
                    self.path.rmdir()
        self.close()

    def _has_progress(self) -> bool:
        """Whether anything was saved or measured."""
        try:
            log = self.path / "metrics.jsonl"
            checkpoints = self.path / "checkpoints"
            return (log.exists() and log.stat().st_size > 0) or any(checkpoints.glob("*"))
        except OSError:
            return True


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


def read_json(path: Path, kind: type = dict) -> Any:
    """A JSON file's value, None if it is not there.

    Raises:
        JaxnetsError: no JSON, or a value of another kind (`dict`, `list`) than expected.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise JaxnetsError(f"{path} cannot be read as JSON: {printable(error, 200)}") from error
    if not isinstance(value, kind):
        raise JaxnetsError(
            f"{path} cannot be read: expected a JSON {kind.__name__}, found a "
            f"{type(value).__name__}"
        )
    return value


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all; values as `to_json` makes them."""
    write_text(path, json.dumps(to_json(value), indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        JaxnetsError: the file cannot be written; what was there stays.
    """
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def run_id(path: Path) -> str | None:
    """What the run in a directory is known by, whatever the directory is called; None: no run."""
    try:
        return (path / RUN_ID).read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def local_path(path: str | Path) -> Path:
    """A path of this machine: ``~`` expanded, addresses refused.

    Raises:
        JaxnetsError: an address such as ``gs://bucket/run``.

    >>> local_path("runs/first")
    PosixPath('runs/first')
    >>> local_path("gs://bucket/run")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: gs:/bucket/run is an address; runs live in a file system. Mount ...
    """
    # A Path of an address has lost one of its slashes.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
        raise JaxnetsError(
            f"{Path(path)} is an address; runs live in a file system. Mount the bucket (gcsfuse, "
            "s3fs) and give the path of the mount."
        )
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise JaxnetsError(f"{path}: no home directory is known here; give a whole path") from error


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    return [
        f"{name}: the run has {before.get(name)!r}, asked for {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        # A setting that did not exist when the run began had no effect on it.
        if before.get(name) != now.get(name) and (name in before or now[name])
    ]


def _free(path: Path) -> Path:
    """``path-1``, or the first number that is not taken yet."""
    number = 1
    while (free := path.with_name(f"{path.name}-{number}")).exists():
        number += 1
    return free


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
    with writing(path / ".lock"):
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        import fcntl
    except ImportError:  # Windows has no flock; a run there goes without the guard.
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return lock  # a file system without locks, as some network shares are
        os.close(lock)
        raise JaxnetsError(
            f"another process is training in {path}. Wait for it, or give another --workdir."
        ) from error
    return lock
