"""``https://…``: a file of weights, downloaded once, its checksum compared."""

import hashlib
import os
import re
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from jaxnets.data.cache import default_cache_dir
from jaxnets.errors import JaxnetsError

SCHEME = "https://"
TIMEOUT_SECONDS = 20
# Publishers write the first digits of the file's SHA-256 at the end of its name.
_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z]+$")


def fetch(address: str) -> Path:
    """Download a file, once, and return where it lies.

    Args:
        address: ``https://…/resnet50-0676ba61.pth``: the name ends in the first digits of the
            file's SHA-256, or ``#sha256=…`` stands behind the address.

    Returns:
        The file, in ``$JAXNETS_CACHE/weights`` (``~/.cache/jaxnets/weights``).

    Raises:
        JaxnetsError: no checksum, no network, no such file, another checksum, or a cache that
            cannot be written.

    >>> fetch("https://example.org/weights.pth")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: https://example.org/weights.pth: nothing says what the file's ...
    """
    plain, _, fragment = address.partition("#")
    name = urlsplit(plain).path.rsplit("/", 1)[-1]
    checksum = _checksum(address, name, fragment)
    target = default_cache_dir() / "weights" / f"{checksum[:16]}-{name}"
    if target.is_file():
        if _sha256(target).startswith(checksum):
            return target
        target.unlink()
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _open(plain) as response, open(temporary, "wb") as file:
            while chunk := response.read(2**20):
                file.write(chunk)
        found = _sha256(temporary)
        if not found.startswith(checksum):
            raise JaxnetsError(
                f"{plain}: the file that came has SHA-256 {found[:16]}…, expected {checksum[:16]}…"
                "; it was thrown away"
            )
        os.replace(temporary, target)
    except OSError as error:  # URLError is one: no network, no such host, no such file
        reason = getattr(error, "reason", None) or error
        raise JaxnetsError(
            f"{plain}: could not be downloaded to {target.parent} ({reason}). Without a network, "
            "download the file elsewhere and give its path."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _checksum(address: str, name: str, fragment: str) -> str:
    if fragment.startswith("sha256="):
        checksum = fragment.removeprefix("sha256=").lower()
        if not re.fullmatch("[0-9a-f]{8,64}", checksum):
            raise JaxnetsError(f"{address}: sha256= wants 8 to 64 hexadecimal digits")
        return checksum
    if match := _IN_NAME.search(name):
        return match[1]
    raise JaxnetsError(
        f"{address}: nothing says what the file's SHA-256 is: add #sha256=…, or download the file "
        "yourself and give its path"
    )


def _open(address: str):
    request = urllib.request.Request(address, headers={"User-Agent": "jaxnets"})
    return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
