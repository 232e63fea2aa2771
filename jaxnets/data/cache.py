"""A folder of arrays on disk that is either whole or not there.

An entry is written under a temporary name and renamed when complete, so a process that dies leaves
no half entry, and of two that build the same entry one wins and both are right. A manifest inside
holds every file's length and checksum: damage shows when the entry is opened.
"""

import contextlib
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError

MANIFEST = "manifest.json"
# Larger files are checked by length only: reading them through would cost more than it protects.
CHECKSUM_LIMIT = 512 * 2**20


def default_cache_dir() -> Path:
    """``$JAXNETS_CACHE``, or ``~/.cache/jaxnets``.

    Returns:
        The folder; it need not exist.

    >>> isinstance(default_cache_dir(), Path)
    True
    """
    return Path(os.environ.get("JAXNETS_CACHE") or home() / ".cache" / "jaxnets")


def home() -> Path:
    """The home directory; the working directory where there is none, as in some containers.

    >>> home().is_dir()
    True
    """
    try:
        found = Path.home()
    except RuntimeError:
        return Path()
    return found if found.is_dir() else Path()


def allocate(path: Path, shape: tuple[int, ...], dtype: Any) -> np.memmap:
    """A new ``.npy`` file as a writable memory map, its room on the disk taken beforehand.

    A file that only looks as long as it will be is refused its room when a page of it is written:
    on a full disk that ends the process by a bus error, which no program can catch.

    Args:
        path: of the file.
        shape: of the array.
        dtype: of the array.

    Returns:
        The array, undefined.

    Raises:
        OSError: there is no room.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     allocate(Path(folder) / "a.npy", (2, 3), np.uint8).shape
    (2, 3)
    """
    array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), shape)
    with open(path, "rb+") as file:
        length = os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, length)
        else:
            file.seek(array.offset)
            for start in range(array.offset, length, 2**22):
                file.write(bytes(min(2**22, length - start)))
            file.flush()
    return array


def open_or_build(
    entry: Path,
    build: Callable[[Path], dict[str, Any]],
    valid: Callable[[dict[str, np.ndarray], dict[str, Any]], bool] = lambda arrays, facts: True,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Open a cache entry, building it first where it is missing or damaged.

    Args:
        entry: the entry's folder.
        build: writes ``NAME.npy`` files into the folder it is given and returns JSON-ready facts to
            keep beside them.
        valid: (arrays, facts) → whether they are what ``build`` makes; an entry that is something
            else is built anew, like a damaged one.

    Returns:
        (arrays by name, memory-mapped and read only; the facts that ``build`` returned).

    Raises:
        JaxnetsError: the cache can't be written.

    >>> import tempfile
    >>> def build(folder):
    ...     np.save(folder / "squares.npy", np.arange(4) ** 2)
    ...     return {"made of": "the first numbers"}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     arrays, facts = open_or_build(Path(folder) / "entry", build)
    ...     arrays["squares"].tolist(), facts
    ([0, 1, 4, 9], {'made of': 'the first numbers'})
    """

    def whole() -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        found = open_entry(entry)
        return found if found is not None and valid(*found) else None

    found = whole()
    if found is not None:
        return found
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        with _lock(entry):
            # Another process may have built it while this one waited.
            found = whole()
            if found is None:
                _build(entry, build, whole)
                found = whole()
    except OSError as error:
        raise JaxnetsError(
            f"can't write the cache of decoded images at {entry}: {error}. "
            "Make room there, or name another place with JAXNETS_CACHE or cache_dir"
        ) from error
    if found is None:
        raise JaxnetsError(f"the cache entry {entry} reads back damaged after it was written")
    return found


def open_entry(entry: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    """The arrays and facts of an entry, or None where it is missing or damaged in any way.

    Args:
        entry: the entry's folder.

    Returns:
        (arrays by name, memory-mapped and read only; facts), or None.

    >>> open_entry(Path("no such folder")) is None
    True
    """
    try:
        manifest = json.loads((entry / MANIFEST).read_text())
        arrays = {}
        for name, recorded in manifest["files"].items():
            if Path(name).name != name:  # a file elsewhere
                return None
            path = entry / name
            length = path.stat().st_size
            if length != recorded["bytes"]:
                return None
            if length <= CHECKSUM_LIMIT and _crc32(path) != recorded["crc32"]:
                return None
            arrays[path.stem] = np.load(path, mmap_mode="r", allow_pickle=False)
        return arrays, manifest["facts"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _build(entry: Path, build: Callable[[Path], dict[str, Any]], whole: Callable) -> None:
    temporary = _temporary_folder(entry)
    try:
        facts = build(temporary)
        files = {}
        for path in sorted(temporary.glob("*.npy")):
            _flush(path)
            files[path.name] = {"bytes": path.stat().st_size, "crc32": _crc32(path)}
        manifest = temporary / MANIFEST
        manifest.write_text(json.dumps({"files": files, "facts": facts}, indent=1))
        _flush(manifest)
        if entry.exists() and whole() is None:  # damaged
            # Aside first: other processes may still have its files open.
            aside = _temporary_folder(entry)
            os.rename(entry, aside / "damaged")
            shutil.rmtree(aside, ignore_errors=True)
        try:
            os.rename(temporary, entry)
        except OSError:
            if whole() is None:
                raise
            # Refused because another process was faster: its entry is as good as this one.
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def _lock(entry: Path) -> Iterator[None]:
    """Let one process build and the others wait; without file locks they build side by side.

    Only saves work: correctness rests on the rename. The kernel drops the lock of a process that
    is killed. Whoever holds it also removes what killed builders left behind.
    """
    with contextlib.ExitStack() as stack:
        try:
            import fcntl

            handle = stack.enter_context(open(entry.parent / f".{entry.name}.lock", "w"))
            fcntl.flock(handle, fcntl.LOCK_EX)
        except (ImportError, OSError):
            yield
            return
        for left_over in entry.parent.glob(f".{entry.name}.*.tmp"):
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def _temporary_folder(entry: Path) -> Path:
    # Not tempfile.mkdtemp: what it makes is closed to other users, who may share the cache.
    folder = entry.parent / f".{entry.name}.{uuid.uuid4().hex}.tmp"
    folder.mkdir()
    return folder


def _crc32(path: Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while chunk := file.read(2**22):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _flush(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
