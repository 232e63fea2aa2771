"""Tensors that are in memory already, of whatever library, as NumPy arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError, printable


def as_arrays(state_dict: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """A state dict with NumPy arrays.

    Args:
        state_dict: names with arrays of NumPy, JAX or PyTorch (on any of its devices).

    Returns:
        The same names in the same order; entries that are no numbers are left out.

    Raises:
        JaxnetsError: a name that is no string, nested dicts, or nothing left.

    >>> as_arrays({"w": np.ones(2), "version": "1"})
    {'w': array([1., 1.])}
    """
    arrays = {}
    for name, value in state_dict.items():
        if not isinstance(name, str):
            raise JaxnetsError(f"a state dict has names, got {printable(repr(name))} as one")
        if isinstance(value, Mapping):
            raise JaxnetsError(
                f"expected names with arrays, but {printable(repr(name))} is a dict itself: hand "
                "in the state dict alone"
            )
        array = _as_array(value)
        if array.dtype.kind in "biufc" or array.dtype.name.startswith(("bfloat16", "float8")):
            arrays[name] = array
    if not arrays:
        raise JaxnetsError("the given state dict has no tensors")
    return arrays


def _as_array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):  # PyTorch's
        value = value.detach().cpu()
        if value.is_floating_point() and value.element_size() < 4:
            value = value.float()  # NumPy does not know all of them
        value = value.numpy()
    return np.asarray(value)
