"""Data sets as people download them: a folder, or an archive of it."""

import contextlib
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from jaxnets.errors import JaxnetsError


@contextlib.contextmanager
def unpacked(path: str | Path) -> Iterator[Path]:
    """A folder as it is, or what a .tar.gz holds, unpacked until the end of the block.

    Args:
        path: a folder, or an archive whose files stay below it.

    Yields:
        The folder; of a path that is neither, the path.

    Raises:
        JaxnetsError: a file that is no such archive, or one that cannot be unpacked.

    >>> with unpacked("/tmp") as folder:
    ...     folder.name
    'tmp'
    """
    path = Path(path)
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(path) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise JaxnetsError(f"cannot unpack {path}: {error}") from None
        yield Path(folder)
