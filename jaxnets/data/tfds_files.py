"""Where prepared TFDS datasets lie: found by looking at folders, without TFDS or a network."""

import difflib
import hashlib
import importlib.util
import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from jaxnets.data.cache import home
from jaxnets.errors import JaxnetsError, UnknownNameError

# name, name/configuration, name:version, name/configuration:version
NAME_PATTERN: Final = r"\w+(/\w[\w.+-]*)?(:\d+\.\d+\.\d+)?"


class Prepared(NamedTuple):
    """A dataset on disk.

    Attributes:
        name: with its configuration, as ``name/configuration``.
        version: as ``3.0.2``.
        path: of the folder with ``dataset_info.json``.

    >>> Prepared("mnist", "3.0.1", Path("data/mnist/3.0.1")).version
    '3.0.1'
    """

    name: str
    version: str
    path: Path


def default_data_dir() -> Path:
    """``$TFDS_DATA_DIR``, or ``~/tensorflow_datasets`` as in TFDS itself.

    Returns:
        The folder; it need not exist.

    >>> isinstance(default_data_dir(), Path)
    True
    """
    return Path(os.environ.get("TFDS_DATA_DIR") or home() / "tensorflow_datasets")


def list_prepared(data_dir: Path | str | None = None) -> list[str]:
    """Names of the prepared datasets in ``data_dir``, without opening them.

    Args:
        data_dir: where to look; by default `default_data_dir`.

    Returns:
        Names in alphabetical order, with their configurations.

    >>> list_prepared("no such folder")
    []
    """
    root = Path(data_dir or default_data_dir()).expanduser()
    found = set()
    for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json"):
        for info in root.glob(pattern):
            if _version_key(info.parent.name) is not None:
                found.add(info.parent.parent.relative_to(root).as_posix())
    return sorted(found)


def find_prepared(name: str, data_dir: Path | str | None = None) -> Prepared:
    """Find a prepared dataset on disk, its newest version unless the name says which.

    Args:
        name: with an optional ``/configuration`` and ``:version``.
        data_dir: where to look; by default `default_data_dir`.

    Returns:
        The dataset's name, version and folder.

    Raises:
        UnknownNameError: TFDS has no such dataset and none lies prepared.
        JaxnetsError: it is known but not prepared here; the message says how to.

    >>> find_prepared("mnist", "no such folder")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: dataset 'mnist' is not prepared: ...
    """
    root = Path(data_dir or default_data_dir()).expanduser()
    if not re.fullmatch(NAME_PATTERN, name):
        _require_known(name, root)
    plain, _, version = name.partition(":")
    place = root / plain
    versions = {
        folder.name: key
        for folder in (place.iterdir() if place.is_dir() else ())
        if (key := _version_key(folder.name)) and (folder / "dataset_info.json").is_file()
    }
    if version and version in versions:
        return Prepared(plain, version, place / version)
    if versions and not version:
        newest = max(versions, key=versions.get)
        return Prepared(plain, newest, place / newest)
    prepared = ["digits", *list_prepared(root)]
    if versions:
        raise JaxnetsError(
            f"dataset {plain!r} has no version {version} in {place}; there: {', '.join(versions)}"
        )
    configs = [other for other in prepared if other.startswith(f"{plain}/")]
    if configs:
        raise JaxnetsError(f"dataset {plain!r} comes in several forms: {', '.join(configs)}")
    _require_known(name, root)
    raise JaxnetsError(
        f"dataset {name!r} is not prepared: looked in {place}. On a machine with a network run:\n"
        f"  python -m jaxnets.data.prepare {name} --data_dir {root}\n"
        "or name the folder where it lies with data_dir or TFDS_DATA_DIR"
    )


def _require_known(name: str, root: Path) -> None:
    """Raise UnknownNameError for a name that TFDS does not have.

    The message offers what is near among all of TFDS, or else what lies here.
    """
    if re.fullmatch(NAME_PATTERN, name) and re.split("[:/]", name)[0] in tfds_names():
        return
    prepared = ["digits", *list_prepared(root)]
    everything = {*prepared, *tfds_names()}
    near = difflib.get_close_matches(name.lower(), everything, n=1)
    error = UnknownNameError("dataset", name, everything if near else prepared)
    error.args = (f"{error.args[0]} Prepared sets were looked for in {root}",)
    raise error


def tfds_names() -> set[str]:
    """Names of the datasets that TFDS can prepare, without importing it (which takes seconds).

    Returns:
        Names without configurations; none where TFDS is not installed.

    >>> "mnist" in tfds_names()
    True
    """
    spec = importlib.util.find_spec("tensorflow_datasets")
    if spec is None or spec.origin is None:
        return set()
    root = Path(spec.origin).parent
    # Most datasets have a package of their own or a file of checksums.
    packages = [
        *root.glob("datasets/*/__init__.py"),
        *root.glob("image_classification/*/__init__.py"),
    ]
    return {path.parent.name for path in packages} | {
        path.stem for path in root.glob("url_checksums/*.txt")
    }


def _version_key(name: str) -> tuple[int, ...] | None:
    return tuple(map(int, name.split("."))) if re.fullmatch(r"\d+\.\d+\.\d+", name) else None


def fingerprint(folder: Path) -> str:
    """A number that changes when the records do.

    Made of every file's name, length and time of change, and of the small files' text; reading the
    records themselves would take minutes for a large set.

    Args:
        folder: of a prepared dataset.

    Returns:
        64 hexadecimal digits.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(fingerprint(Path(folder)))
    64
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        stat = path.stat()
        digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        if path.suffix in (".json", ".txt"):
            digest.update(path.read_bytes())
    return digest.hexdigest()
