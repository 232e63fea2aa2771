"""NumPy's `.npz` without its surprises: no objects, no bombs, numbers only."""

import math
import zipfile
import zlib
from io import BytesIO

import numpy as np

from jaxnets.errors import JaxnetsError, printable

# A compressed file may unpack to this many bytes, or to so many times its size. Weights shrink by
# a tenth, those of a pruned network tenfold; a bomb is up to a thousand times its file.
SMALL, RATIO = 2**26, 16


def read_npz(path: str, content: bytes, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """The arrays of a `.npz`, in the machine's byte order.

    Args:
        path: what messages call the file.
        content: its bytes.
        archive: a zip file on them.

    Raises:
        JaxnetsError: damaged, other than numbers, or larger than its size allows.
    """
    entries = archive.infolist()
    total = sum(info.file_size for info in entries)
    if total > max(SMALL, RATIO * len(content)):
        raise JaxnetsError(
            f"{path}: would unpack to {total:,} bytes from {len(content):,}; refused"
        )
    arrays = {}
    for info in entries:
        name = info.filename.removesuffix(".npy")
        shown = printable(repr(name))
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise JaxnetsError(f"{path}: {shown} is packed as NumPy never does; not unpacked")
        if name in arrays:
            raise JaxnetsError(f"{path}: {shown} is there twice: forged or damaged")
        try:
            # Never more than what it declares, which has been judged above.
            with archive.open(info) as member:
                data = member.read(info.file_size)
            arrays[name] = _array(f"{path}: {shown}", data)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, OverflowError) as error:
            raise JaxnetsError(
                f"{path}: {shown} is damaged or truncated ({printable(error, 200)})"
            ) from None
        # An unknown way of packing, encryption, damaged packed data.
        except (NotImplementedError, RuntimeError, zlib.error) as error:
            raise JaxnetsError(
                f"{path}: {shown} cannot be unpacked ({printable(error, 200)})"
            ) from None
    return arrays


def _array(where: str, data: bytes) -> np.ndarray:
    stream = BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError(f"format version {version}")
        one, two = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = (one if version == (1, 0) else two)(stream)
    except Exception as error:  # NumPy hands the header to Python's parser, which raises its own
        raise JaxnetsError(
            f"{where} is damaged: its header does not parse ({printable(error, 200)})"
        ) from None
    if dtype.hasobject:
        raise JaxnetsError(f"{where} holds pickled Python objects, which may run code; not read")
    if dtype.kind not in "biufc":
        hint = (
            "; bfloat16, which .npz cannot hold, is saved as float32" if dtype.kind == "V" else ""
        )
        raise JaxnetsError(f"{where} holds {printable(dtype)}, and weights are numbers{hint}")
    axes = [n for n in shape if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63]
    # Products of large axes beside an axis of 0 must not overflow, either.
    if len(axes) < len(shape) or len(shape) > 64 or math.prod(filter(None, axes)) > 2**40:
        raise JaxnetsError(f"{where} declares a shape that no array has: {printable(shape)}")
    rest = memoryview(data)[stream.tell() :]
    if math.prod(shape) * dtype.itemsize != len(rest):
        raise JaxnetsError(
            f"{where} declares shape {printable(shape)} of {dtype}, but has {len(rest):,} bytes"
        )
    array = np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran_order else "C")
    return array.astype(dtype.newbyteorder("="), copy=False)
