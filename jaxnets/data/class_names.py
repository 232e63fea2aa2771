"""Names of classes: ImageNet's 1,000, CIFAR-10's, those of a file; and folders that go by them."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from jaxnets.data.tfds_decode import CLASS_NAMES
from jaxnets.errors import JaxnetsError


@cache
def imagenet_classes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The 1,000 classes of ILSVRC-2012 in the order of published networks' outputs.

    Returns:
        (names, WordNet ids).

    Source: Russakovsky et al. 2015 (ImageNet Large Scale Visual Recognition Challenge); the short
    names are those of torchvision.

    >>> names, ids = imagenet_classes()
    >>> names[207], ids[207]
    ('golden retriever', 'n02099601')
    """
    text = (files("jaxnets.data") / "imagenet_classes.txt").read_text(encoding="utf-8")
    pairs = [line.split(" ", 1) for line in text.splitlines()]
    return tuple(name for _, name in pairs), tuple(wordnet for wordnet, _ in pairs)


def class_names(num_classes: int, source: str | Path | None = None) -> tuple[str, ...]:
    """The names of a network's classes.

    Args:
        num_classes: K.
        source: a text file with a name on each line, in the order of the outputs; None: ImageNet's
            for 1,000 classes, CIFAR-10's for 10, otherwise "class 0", "class 1", ….

    Returns:
        K names.

    Raises:
        JaxnetsError: the file cannot be read, or has another number of names.

    >>> class_names(10)[3], class_names(3)
    ('cat', ('class 0', 'class 1', 'class 2'))
    """
    if source is not None:
        try:
            text = Path(source).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise JaxnetsError(f"--classes {source}: cannot be read ({error})") from None
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
        if len(names) != num_classes:
            raise JaxnetsError(
                f"--classes {source}: {len(names)} names, but the network has {num_classes} classes"
            )
        return names
    if num_classes == 1000:
        return imagenet_classes()[0]
    if num_classes == 10:
        return CLASS_NAMES["cifar10"]
    return tuple(f"class {k}" for k in range(num_classes))


def match_folders(folders: Sequence[str], names: Sequence[str]) -> list[int]:
    """Which of a network's classes each sub-folder of an ImageNet-like folder stands for.

    Folders are called by WordNet id (n02099601), by number (207, 207_golden_retriever), or by name
    (golden_retriever); as many folders as there are classes, of other names, stand for them in
    alphabetical order.

    Args:
        folders: their names.
        names: of the network's classes.

    Returns:
        A class number for each folder.

    Raises:
        JaxnetsError: a folder that stands for none, or two for the same class.

    >>> match_folders(["n02099601", "407_ambulance", "Saint Bernard"], imagenet_classes()[0])
    [207, 407, 247]
    """
    ids = imagenet_classes()[1] if len(names) == 1000 else ()
    by_name = {_plain(name): k for k, name in enumerate(names)}
    found: list[int] = []
    unknown = []
    for folder in folders:
        number = re.match(r"(\d+)(?:[_ -]|$)", folder)
        if folder in ids:
            found.append(ids.index(folder))
        elif _plain(folder) in by_name:
            found.append(by_name[_plain(folder)])
        elif number and int(number[1]) < len(names):
            found.append(int(number[1]))
        else:
            unknown.append(folder)
    if unknown and len(folders) == len(names):
        return list(range(len(names)))
    if unknown:
        raise JaxnetsError(
            f"{len(unknown)} of {len(folders)} folders are no class of the network: "
            f"{', '.join(unknown[:5])}. They may be called by WordNet id, number or name, such as "
            f"{(*ids, *names)[0]}, 0 or {names[0]}"
        )
    if len(set(found)) < len(found):
        raise JaxnetsError("two folders stand for the same class of the network")
    return found


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
