"""SRCNN's published weights: MATLAB files."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError, printable
from jaxnets.models.super_resolution import SRCNN

NAMES = tuple(f"{kind}_conv{i}" for kind in ("weights", "biases") for i in (1, 2, 3))


def load_srcnn(path: Path | str) -> tuple[SRCNN, dict[str, Any]]:
    """The network of one of SRCNN's .mat files, with its weights.

    conv1 is (k², n₁), conv2 (n₁, k², n₂), conv3 (n₂, k²), each window row by row: the networks
    were trained on images that MATLAB, which goes down columns first, had handed over transposed.

    Args:
        path: such as ``9-1-5_wd_x3.mat``.

    Returns:
        the network, whose result is as large as its input, and its variables.

    Raises:
        JaxnetsError: a file that cannot be read, that lacks one of the six arrays, or whose arrays
            do not fit each other.

    Source: the files of Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional
    Networks", 2015, and their reading code.

    >>> load_srcnn("/nowhere.mat")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: can't read /nowhere.mat: there is no such file
    """
    from scipy.io import loadmat

    path = Path(path)
    if not path.is_file():
        raise JaxnetsError(f"can't read {path}: there is no such file")
    try:
        content = loadmat(str(path))
    except Exception as error:  # a damaged file makes SciPy raise nearly anything
        raise JaxnetsError(f"can't read {path} as a MATLAB file: {printable(error)}") from None
    if missing := [name for name in NAMES if name not in content]:
        raise JaxnetsError(f"{path} has no {', '.join(missing)}; expected SRCNN's weights")
    arrays = [np.asarray(content[f"weights_conv{i}"], np.float32) for i in (1, 2, 3)]
    biases = [np.asarray(content[f"biases_conv{i}"], np.float32).ravel() for i in (1, 2, 3)]
    if [array.ndim for array in arrays] != [2, 3, 2]:
        shapes = [array.shape for array in arrays]
        raise JaxnetsError(f"{path}: weights of shapes {shapes}; expected (k², n), (n, k², m), …")
    # Each as (channels in, places, channels out).
    arrays = [arrays[0][None], arrays[1], arrays[2][..., None]]
    params, inputs = {}, 1
    for i, (array, bias) in enumerate(zip(arrays, biases, strict=True), start=1):
        side = round(array.shape[1] ** 0.5)
        if array.shape[0] != inputs or side**2 != array.shape[1] or len(bias) != array.shape[2]:
            raise JaxnetsError(
                f"{path}: conv{i} has weights {array.shape} and {len(bias)} biases; expected "
                f"({inputs}, a square, n) and n"
            )
        inputs = array.shape[2]
        kernel = array.reshape(array.shape[0], side, side, inputs).transpose(1, 2, 0, 3)
        params[f"conv{i}"] = {"kernel": np.ascontiguousarray(kernel), "bias": bias}
    kernels = tuple(p["kernel"].shape[0] for p in params.values())
    widths = tuple(len(p["bias"]) for p in params.values())[:2]
    return SRCNN(kernels=kernels, widths=widths, padding="edge"), {"params": params}
