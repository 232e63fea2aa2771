"""Download and prepare a TFDS dataset as ArrayRecord: needs a network and TensorFlow, once.

    python -m jaxnets.data.prepare cifar10 --data_dir ~/tensorflow_datasets

Afterwards ``load_dataset("cifar10")`` reads it without either, and the folder can be copied to
machines that have neither.
"""

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from jaxnets.data.tfds_files import default_data_dir, find_prepared
from jaxnets.errors import JaxnetsError, UnknownNameError


def prepare(name: str, data_dir: Path | str | None = None, manual_dir: Path | None = None) -> Path:
    """Download and prepare one dataset, unless it is there already.

    Args:
        name: a TFDS name with an optional ``/config`` and ``:version``.
        data_dir: where to; by default ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``.
        manual_dir: where the files lie that TFDS may not download by itself (ImageNet, for
            example).

    Returns:
        The folder of the prepared dataset.

    Raises:
        UnknownNameError: TFDS has no such dataset.
        JaxnetsError: TensorFlow is missing, or the download or the preparation failed.

    >>> prepare("cifar11", "data")
    Traceback (most recent call last):
    jaxnets.errors.UnknownNameError: unknown dataset 'cifar11'. Did you mean ...
    """
    root = Path(data_dir or default_data_dir()).expanduser()
    try:
        return find_prepared(name, root).path
    except UnknownNameError:
        raise
    except JaxnetsError:
        pass  # known to TFDS but not prepared: what this function is for
    if importlib.util.find_spec("tensorflow") is None:
        raise JaxnetsError(
            f"preparing {name!r} needs TensorFlow, once (reading it afterwards does not). Run:\n"
            "  pip install 'jaxnets[prepare]'"
        )
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare(
            file_format="array_record",
            download_config=tfds.download.DownloadConfig(
                manual_dir=manual_dir and manual_dir.expanduser()
            ),
        )
    except Exception as error:  # no network, a full disk, files to fetch by hand, a moved server
        raise JaxnetsError(
            f"preparing {name!r} in {root} failed: {type(error).__name__}: {error}"
        ) from error
    return find_prepared(name, root).path


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status.

    Args:
        arguments: of the command; by default ``sys.argv[1:]``.

    Returns:
        0, or 2 where it failed.

    >>> main(["cifar11"])  # says on stderr that there is none, and what is near
    2
    """
    parser = argparse.ArgumentParser(
        prog="python -m jaxnets.data.prepare", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("name", help="TFDS name, such as cifar10 or imagenet_v2/matched-frequency")
    parser.add_argument("--data_dir", type=Path, help="where to (default: $TFDS_DATA_DIR)")
    parser.add_argument("--manual_dir", type=Path, help="where files fetched by hand lie")
    options = parser.parse_args(arguments)
    try:
        path = prepare(options.name, options.data_dir, options.manual_dir)
    except JaxnetsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.name} is prepared in {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
