"""A folder of images with a sub-folder for each class, decoded once into a memory-mapped cache."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.cache import allocate, default_cache_dir, open_or_build
from jaxnets.data.image_file import read_image
from jaxnets.errors import JaxnetsError

SUFFIXES: Final = frozenset(
    (
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pgm",
        ".png",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    )
)
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")
# Held out for testing where the folder has no test images.
TEST_SHARE: Final = 0.2
# Change it when decoding changes: older cache entries are then not used any more.
CACHE_FORMAT: Final = 1
SHOWN: Final = 5


class ImageFolder(NamedTuple):
    """What a folder holds, before any image is decoded.

    Attributes:
        path: of the folder.
        class_names: of the sub-folders, in alphabetical order.
        splits: "train", "validation", "test" → (file, class number); only those that the folder
            itself tells apart.
        digest: changes when the files do.

    >>> ImageFolder(Path("pets"), ("cat", "dog"), {"train": []}, "").class_names
    ('cat', 'dog')
    """

    path: Path
    class_names: tuple[str, ...]
    splits: dict[str, list[tuple[Path, int]]]
    digest: str


class DecodedFolder(NamedTuple):
    """A folder's images as arrays.

    Attributes:
        splits: "train", "test" and, where there is one, "validation" → (images uint8 (N, H, W, C),
            labels int32 (N,)); memory maps, read only.
        class_names: K of them.
        skipped: files that could not be read, with the reason.

    >>> DecodedFolder({}, ("cat", "dog"), ()).skipped
    ()
    """

    splits: dict[str, tuple[np.ndarray, np.ndarray]]
    class_names: tuple[str, ...]
    skipped: tuple[str, ...]


def scan_folder(path: Path | str) -> ImageFolder:
    """Find the classes, splits and files of a folder of images; opens none of them.

    Either ``PATH/CLASS/….jpg``, or ``PATH/train/CLASS/…`` beside ``val`` or ``test``. Files of
    other endings than images' and hidden ones are passed over.

    Args:
        path: the folder.

    Returns:
        An `ImageFolder`.

    Raises:
        JaxnetsError: no such folder, fewer than two classes, a class without images, or classes of
            the other splits that are not among those of the training split.

    >>> scan_folder("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: folder:/nowhere: there is no such folder
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise JaxnetsError(f"folder:{path}: there is no such folder")
    folders = _folders(root)
    parts: dict[str, Path] = {}
    for split, spellings in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        for folder in folders:
            if folder.name.lower() in spellings:
                parts[split] = folder
    if "train" in parts and len(parts) > 1:
        if "test" not in parts:  # as ImageNet comes: what is called "val" is what one tests on
            parts["test"] = parts.pop("validation")
        class_names = tuple(f.name for f in _folders(parts["train"]))
        roots = parts
    else:
        class_names = tuple(f.name for f in folders)
        roots = {"train": root}
    if len(class_names) < 2:
        found = ", ".join(class_names) or "none"
        raise JaxnetsError(
            f"folder:{path}: expected a sub-folder of images for each class, at least two; "
            f"found: {found}"
        )
    splits = {name: _files(path, folder, class_names) for name, folder in roots.items()}
    digest = hashlib.sha256()
    for name, files in splits.items():
        for file, label in files:
            stat = file.stat()
            digest.update(f"{name} {file} {label} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return ImageFolder(root, class_names, splits, digest.hexdigest())


def _folders(path: Path) -> list[Path]:
    return sorted(f for f in path.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files(path: Path | str, root: Path, class_names: tuple[str, ...]) -> list[tuple[Path, int]]:
    found, empty = [], []
    there = {f.name for f in _folders(root)}
    if unknown := sorted(there - set(class_names)):
        raise JaxnetsError(
            f"folder:{path}: {root.name} has the classes {', '.join(unknown[:SHOWN])}, which the "
            "training images have not"
        )
    for label, name in enumerate(class_names):
        files = sorted(
            f
            for f in (root / name).rglob("*")
            if f.suffix.lower() in SUFFIXES and not f.name.startswith(".") and f.is_file()
        )
        found += [(file, label) for file in files]
        if not files and name in there:
            empty.append(name)
    if empty:
        raise JaxnetsError(f"folder:{path}: no images in {', '.join(empty[:SHOWN])}")
    return found


def image_sizes(folder: ImageFolder, most: int = 200) -> set[tuple[int, int]]:
    """Sizes of a folder's images, from their headers; broken files are passed over.

    Args:
        folder: from `scan_folder`.
        most: look at this many files, spread evenly.

    Returns:
        (height, width) of each kind.

    >>> image_sizes(ImageFolder(Path("."), (), {}, ""))
    set()
    """
    from PIL import Image

    files = [file for part in folder.splits.values() for file, _ in part]
    sizes = set()
    for file in files[:: max(1, len(files) // most)]:
        try:
            with Image.open(file) as image:
                sizes.add((image.height, image.width))
        except Exception:  # whatever a decoder makes of a broken file; decoding will name it
            continue
    return sizes


def load_folder(
    path: Path | str,
    *,
    size: int | None = None,
    channels: int = 3,
    skip_broken: bool = False,
    seed: int = 0,
    cache_dir: Path | str | None = None,
    reader: Callable[[Path], np.ndarray] | None = None,
    test_only: bool = False,
) -> DecodedFolder:
    """Decode a folder of images once; from then on they are memory-mapped.

    A folder without test images gives a fifth of each class, chosen by ``seed``.

    Args:
        path: see `scan_folder`.
        size: shorter side to resize to, followed by a central crop to size×size; needed where the
            images differ in size.
        channels: 3 for RGB, 1 for gray.
        skip_broken: leave out files that cannot be read, instead of refusing them all.
        seed: which images are held out for testing.
        cache_dir: where decoded images are kept; by default ``$JAXNETS_CACHE`` or
            ``~/.cache/jaxnets``.
        reader: file → uint8 (H, W, channels), in place of ``size``; its text names it in the cache.
        test_only: nothing will be trained: decode only the test images, which are all where the
            folder has none of its own.

    Returns:
        A `DecodedFolder`.

    Raises:
        JaxnetsError: no such folder, broken files (named), images that differ in size.

    >>> load_folder("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: folder:/nowhere: there is no such folder
    """
    folder = scan_folder(path)
    if size is not None and size < 1:
        raise JaxnetsError(f"--image-size must be at least 1, got {size}")
    if size is None and reader is None and len(sizes := image_sizes(folder)) > 1:
        shown = ", ".join(f"{h}×{w}" for h, w in sorted(sizes)[:3])
        raise JaxnetsError(
            f"folder:{path}: the images differ in size ({shown}, …): give --image-size N"
        )
    read = reader or partial(
        read_image, size=None if size is None else (size, size), channels=channels
    )
    what = str(reader) if reader is not None else f"{size} {channels}"
    marks = f"{CACHE_FORMAT} {what} {skip_broken} {seed} {folder.digest}" + " test" * test_only
    key = f"{folder.path.resolve().name}-{hashlib.sha256(marks.encode()).hexdigest()[:16]}"
    root = Path(cache_dir or default_cache_dir()).expanduser()
    arrays, facts = open_or_build(
        root / "folders" / key,
        partial(_build, folder, read, skip_broken, None if test_only else seed),
    )
    splits = {}
    for name, count in facts["counts"].items():
        splits[name] = (
            arrays[f"{name}_images"][:count],
            np.array(arrays[f"{name}_labels"][:count]),
        )
    return DecodedFolder(splits, folder.class_names, tuple(facts["skipped"]))


def _build(
    folder: ImageFolder,
    read: Callable[[Path], np.ndarray],
    skip_broken: bool,
    seed: int | None,
    target: Path,
) -> dict[str, Any]:
    splits = dict(folder.splits)
    if seed is None:  # only what is tested on
        whole = [file for files in splits.values() for file in files]
        splits = {"test": splits.get("test", whole)}
    elif "test" not in splits:
        files = splits["train"]
        known = np.array([label for _, label in files])
        test = set(shuffle.held_out_rows(known, TEST_SHARE, seed, use=shuffle.HOLDOUT).tolist())
        splits["train"] = [f for row, f in enumerate(files) if row not in test]
        splits["test"] = [f for row, f in enumerate(files) if row in test]
        if not test:
            raise JaxnetsError(
                f"folder:{folder.path}: no class has more than one image, so that none is left to "
                "test on: add images, or a folder of them beside a folder train"
            )
    counts: dict[str, int] = {}
    broken: list[str] = []
    shape = None
    for name, files in splits.items():
        images = None
        labels = []
        for (file, label), result in zip(files, _decode(read, files), strict=True):
            if isinstance(result, JaxnetsError):
                broken.append(str(result).removeprefix("can't read the image "))
                continue
            if shape is None:
                shape = result.shape
            if result.shape != shape:
                raise JaxnetsError(
                    f"folder:{folder.path}: {file} is {result.shape[0]}×{result.shape[1]}, others "
                    f"{shape[0]}×{shape[1]}: give --image-size N"
                )
            if images is None:
                images = allocate(target / f"{name}_images.npy", (len(files), *shape), np.uint8)
            images[len(labels)] = result
            labels.append(label)
        if images is not None:
            images.flush()
        if broken and not skip_broken:
            continue  # all of them are named, not the first alone
        if images is None:
            raise JaxnetsError(f"folder:{folder.path}: no image to {name} on can be read")
        np.save(target / f"{name}_labels.npy", np.asarray(labels, np.int32))
        counts[name] = len(labels)
    if broken and not skip_broken:
        shown = "\n  ".join(broken[:SHOWN])
        more = f"\n  … and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise JaxnetsError(
            f"folder:{folder.path}: {len(broken)} file(s) cannot be read:\n  {shown}{more}\n"
            "Mend or remove them, or leave them out with --skip-broken."
        )
    return {"counts": counts, "skipped": broken}


def _decode(
    read: Callable[[Path], np.ndarray], files: list[tuple[Path, int]]
) -> Iterator[np.ndarray | JaxnetsError]:
    """Each file's image, or the error that reading it ended with; a few files ahead of use."""

    def one(item: tuple[Path, int]) -> np.ndarray | JaxnetsError:
        try:
            return read(item[0])
        except JaxnetsError as error:
            return error

    with ThreadPoolExecutor(thread_name_prefix="jaxnets-decode") as pool:
        for start in range(0, len(files), 256):
            yield from pool.map(one, files[start : start + 256])
