"""A training state as named arrays: what is saved, compared and identified by checksum."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.train.state import TrainState

PyTree = Any
Arrays = dict[str, np.ndarray]


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """The leaves of a tree by their paths.

    >>> named_leaves({"conv1": {"bias": 0, "kernel": 1}})
    {'conv1/bias': 0, 'conv1/kernel': 1}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def state_arrays(
    state: TrainState,
    fetch: Callable[[PyTree], PyTree],
    gather: Callable[[PyTree], PyTree] | None = None,
) -> Arrays:
    """A training state as one flat ``{"params/conv1/kernel": array, …}`` of NumPy arrays.

    Args:
        state: a state on the devices.
        fetch: brings a replicated tree to the host (`DataParallel.fetch`).
        gather: brings the carry to the host, which the devices share (`DataParallel.gather`);
            needed where there is one.

    Returns:
        NumPy arrays by path. Random keys are their data, uint32 (2,), which can be saved.

    >>> import jax.numpy as jnp, optax
    >>> params, tx = {"w": jnp.ones(3)}, optax.sgd(0.1, momentum=0.9)
    >>> state = TrainState(jnp.int32(7), params, {}, tx.init(params), jax.random.key(0), tx=tx)
    >>> {path: array.shape for path, array in state_arrays(state, jax.device_get).items()}
    {'key': (2,), 'opt_state/0/trace/w': (3,), 'params/w': (3,), 'step': ()}
    """
    tree = {
        "step": state.step,
        "params": state.params,
        "model_state": state.model_state,
        "opt_state": state.opt_state,
        "key": state.key,
    }
    host = fetch(jax.tree.map(lambda leaf: _key_data(leaf) if is_key(leaf) else leaf, tree))
    if state.carry:
        host["carry"] = gather(state.carry)
    return {path: np.asarray(leaf) for path, leaf in named_leaves(host).items()}


def restore_state(template: TrainState, arrays: Arrays) -> TrainState:
    """Put a checkpoint's arrays into a state of the same structure (on the host).

    Args:
        template: a state made by `create_state` for the same network and optimizer; its values
            may be abstract (`jax.eval_shape`).
        arrays: as from `state_arrays`.

    Returns:
        The template with the checkpoint's step, parameters, statistics, optimizer state, key and
        carry, NumPy arrays but for the key; the network and the optimizer are the template's.

    Raises:
        JaxnetsError: the checkpoint is of another network, optimizer or number of classes; the
            message names the first differing arrays with both shapes.

    >>> import jax.numpy as jnp, optax
    >>> params, tx = {"w": jnp.ones(3)}, optax.sgd(0.1)
    >>> state = TrainState(jnp.int32(7), params, {}, tx.init(params), jax.random.key(0), tx=tx)
    >>> arrays = state_arrays(state, jax.device_get)
    >>> fresh = state.replace(step=jnp.int32(0), params={"w": jnp.zeros(3)})
    >>> restored = restore_state(fresh, arrays)
    >>> int(restored.step), restored.params["w"].tolist()
    (7, [1.0, 1.0, 1.0])
    >>> restore_state(fresh.replace(params={"w": jnp.zeros(5)}), arrays)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: the checkpoint is of another network, ...
      params/w: in the checkpoint float32[3], expected float32[5]
    ...
    """
    tree = {
        "step": template.step,
        "params": template.params,
        "model_state": template.model_state,
        "opt_state": template.opt_state,
        "key": template.key,
    }
    if template.carry:
        tree["carry"] = template.carry
    wanted = named_leaves(tree)
    require_same_arrays(
        {
            path: jax.eval_shape(_key_data, leaf) if is_key(leaf) else leaf
            for path, leaf in wanted.items()
        },
        arrays,
    )
    leaves = [
        jax.random.wrap_key_data(arrays[path], impl=_key_impl(leaf))
        if is_key(leaf)
        else arrays[path]
        for path, leaf in wanted.items()
    ]
    return template.replace(**jax.tree.unflatten(jax.tree.structure(tree), leaves))


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape and dtype, is one of random keys.

    >>> is_key(jax.random.key(0)), is_key(np.zeros(2)), is_key(3)
    (True, False, False)
    """
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", np.int32), jax.dtypes.prng_key)


def _key_impl(leaf: Any) -> Any:
    """The kind of keys, also where there is only their shape and dtype."""
    if isinstance(leaf, jax.Array):
        return jax.random.key_impl(leaf)
    kinds = ("threefry2x32", "rbg", "unsafe_rbg")
    return next(kind for kind in kinds if jax.random.key(0, impl=kind).dtype == leaf.dtype)


# Of an array of keys, their numbers, which can be fetched and saved.
_key_data = jax.random.key_data


def require_same_arrays(wanted: dict[str, Any], found: dict[str, Any]) -> None:
    """Raise a `JaxnetsError` that names what differs between two sets of named arrays."""
    problems = []
    for path in sorted(wanted.keys() | found.keys()):
        if path not in found:
            problems.append(f"{path}: missing in the checkpoint, expected {_form(wanted[path])}")
        elif path not in wanted:
            problems.append(f"{path}: in the checkpoint {_form(found[path])}, not in this network")
        elif _form(wanted[path]) != _form(found[path]):
            problems.append(
                f"{path}: in the checkpoint {_form(found[path])}, expected {_form(wanted[path])}"
            )
    if problems:
        shown = "\n  ".join(problems[:6])
        more = f"\n  … and {len(problems) - 6} more" if len(problems) > 6 else ""
        raise JaxnetsError(
            "the checkpoint is of another network, optimizer or number of classes:\n  "
            f"{shown}{more}\nTake the settings that it was trained with, or another --workdir."
        )


def _form(leaf: Any) -> str:
    return f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}"


def array_sha256(array: np.ndarray) -> str:
    """SHA-256 of an array's dtype, shape and bytes."""
    digest = hashlib.sha256(_form(array).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def tree_sha256(arrays: Arrays) -> str:
    """One SHA-256 for a whole set of named arrays; equal exactly when all bits are equal.

    >>> import numpy as np
    >>> one = tree_sha256({"w": np.zeros(2, np.float32)})
    >>> one == tree_sha256({"w": np.array([0, 1e-45], np.float32)})
    False
    """
    digest = hashlib.sha256()
    for path in sorted(arrays):
        digest.update(f"{path}={array_sha256(arrays[path])};".encode())
    return digest.hexdigest()
