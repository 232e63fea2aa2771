"""A network with the weights of a file, and the way back."""

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import EllipsisType
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import flatten_dict

from jaxnets.errors import JaxnetsError, UnknownNameError, printable
from jaxnets.models import create_model, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained.convert import (
    IGNORED,
    Match,
    assemble,
    fits,
    match_variables,
    to_flax,
    to_torch,
)
from jaxnets.pretrained.deep_compression import network_of_file
from jaxnets.pretrained.name_maps import maps_of
from jaxnets.pretrained.names import NameMap
from jaxnets.pretrained.state_dict import read_state_dict, unwrap
from jaxnets.pretrained.tensors import as_arrays

SHOWN = 8


def load(
    name: str,
    path: str | Path | Mapping[str, Any] | None = None,
    *,
    num_classes: int | EllipsisType | None = ...,
    source: str | NameMap | None = None,
    container: str | None = None,
    prefix: str | None = None,
    channels: int | None = None,
    strict: bool = True,
    reset_head: bool = False,
    key: jax.Array | None = None,
    notify: Callable[[str], None] = print,
    **fields: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """Make a registered network with the weights of a file from PyTorch's world.

    Args:
        name: one of `jaxnets.models.list_models()`.
        path: a file that `read_state_dict` reads, ``hf://owner/repo[/file]``, ``https://…``, or a
            state dict: names with arrays of NumPy, JAX or PyTorch. None: the first of
            ``model_info(name).addresses``.
        num_classes: width of the classifier (default: that of the published network). None makes
            a backbone, as for `create_model`: the classifier's tensors are left out.
        source: whose names the file has: "torchvision", "timm", "cadene", "akamaster",
            "xternalz", "jaxnets", or a `NameMap` of your own (default: the one that fits best).
        container, prefix: as in `read_state_dict`, where a file holds several sets of weights.
        channels: 1 makes a network for gray images of one for color: the kernels that meet the
            image are summed over its channels, so that a gray image gives what it would as a
            color image with three equal channels (timm's ``in_chans=1``).
        strict: refuse a file with tensors that the network has no place for; False leaves them
            out, and lists them.
        reset_head: initialize the layers whose shape depends on ``num_classes`` anew, with
            ``key``, and take only the others from the file.
        key: for ``reset_head``.
        notify: called with the list of what ``strict=False`` leaves out.
        **fields: further fields of the network, as for `create_model`.

    Returns:
        (network, variables): ``network.apply(variables, images)``; arrays are NumPy float32.

    Raises:
        JaxnetsError: the file cannot be read, or tensors are missing, left over or of another
            shape; the message names them, with both shapes.

    With torchvision's file, images normalized with the ``mean`` and ``std`` of `model_info`::

        model, variables = load("resnet50", "resnet50-0676ba61.pth")
        logits = model.apply(variables, images)

    A classifier of ten classes becomes one of three, all other layers keeping their weights:

    >>> import tempfile
    >>> trained = abstract_variables(create_model("lenet5", num_classes=10), (28, 28, 1))
    >>> trained = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.5, leaf.dtype), trained)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "lenet5.safetensors")
    ...     save("lenet5", trained, path)
    ...     model, variables = load(
    ...         "lenet5", path, num_classes=3, reset_head=True, key=jax.random.key(0)
    ...     )
    >>> variables["params"]["output"]["kernel"].shape, variables["params"]["f6"]["bias"][0].item()
    ((84, 3), 0.5)
    """
    if num_classes is None:
        more = {"container": container, "prefix": prefix, "channels": channels, "notify": notify}
        whole = load(name, path, source=source, strict=strict, **more, **fields)
        return _without_head(name, *whole)
    if num_classes is not ...:
        fields["num_classes"] = num_classes
    if reset_head and key is None:
        raise JaxnetsError("load: reset_head=True needs key=jax.random.key(…)")
    shape = model_info(name).input_shape
    if channels not in (None, 1, shape[-1]):
        raise JaxnetsError(f"load: channels must be 1 or {shape[-1]}, got {channels}")
    if path is None:
        path = _address(name, source)
    only = None if isinstance(path, Mapping) else network_of_file(path)
    if only not in (None, name):
        raise JaxnetsError(f"{path}: these are weights of {only}, not of {name}")
    path, candidates = _candidates(path, container, prefix)
    best = None
    for weights in candidates:
        option = (weights, *_best(name, weights, fields, source))
        best = option if best is None or option[-1] < best[-1] else best
        if best[-1] == 0:
            break
    weights, name_map, model, found, _ = best
    weights = {name_map.present_name(k): v for k, v in weights.items()}
    head = _head(name, model) if reset_head else set()
    wanted = [match for match in found if match.path not in head]
    _check(name, model, path, name_map, wanted, weights, strict, found)
    left = [] if strict else _left_over(weights, name_map, found)
    if left:
        first = f"{path}: {len(left)} tensors have no place in {name} and are left out:"
        notify("\n".join([first, *_listed(left)]))
    arrays = {match.path: to_flax(match, [weights[n] for n in match.names]) for match in wanted}
    if channels == 1:
        for stem in _stems(model, shape) & arrays.keys():
            arrays[stem] = arrays[stem].sum(-2, keepdims=True)
    if head:
        arrays |= _reset(name, model, head, key)
    order = [match.path for match in found]
    return model, assemble({path: arrays[path] for path in order})


def _address(name: str, source: str | NameMap | None) -> str:
    """Where the network's published weights lie; those of ``source`` if it is a library."""
    addresses = model_info(name).addresses
    if not addresses:
        raise JaxnetsError(f"load: no address of weights for {name} is known; give a file")
    return addresses.get(source if isinstance(source, str) else "", next(iter(addresses.values())))


def _without_head(
    name: str, model: nn.Module, variables: dict[str, Any]
) -> tuple[nn.Module, dict[str, Any]]:
    """The backbone of a network with a classifier, and its share of the variables."""
    backbone = model.clone(num_classes=None)
    flat = flatten_dict(variables, sep="/")
    # Which paths there are does not depend on the image's channels.
    kept = flatten_dict(dict(abstract_variables(backbone, model_info(name).input_shape)), sep="/")
    return backbone, assemble({path: flat[path] for path in kept})


def _candidates(
    path: str | Path | Mapping[str, Any], container: str | None, prefix: str | None
) -> tuple[str | Path, list[dict[str, np.ndarray]]]:
    """A name for messages, and the state dicts that may be meant: unwrapped, and as it is."""
    if isinstance(path, Mapping):
        if container is not None:
            raise JaxnetsError("load: container is of a file; hand in the state dict itself")
        path, weights = "the given state dict", as_arrays(path)
    else:
        weights = read_state_dict(path, container=container, prefix="")
    found = [unwrap(str(path), weights, prefix)] if prefix != "" else []
    if prefix in (None, "") and (not found or found[0].keys() != weights.keys()):
        found.append(weights)
    return path, [{k: v for k, v in w.items() if not k.endswith(IGNORED)} for w in found]


def _stems(model: nn.Module, shape: tuple[int, ...]) -> set[str]:
    """Paths of the kernels that meet the image: their shape depends on its channels alone."""
    *size, channels = shape
    ours, others = (
        flatten_dict(dict(abstract_variables(model, (*size, c))), sep="/") for c in (channels, 1)
    )
    return {
        path
        for path, leaf in ours.items()
        if leaf.ndim == 4 and leaf.shape[-2] == channels and others[path].shape[-2] == 1
    }


def save(
    name: str,
    variables: Mapping[str, Any],
    path: str | Path,
    *,
    source: str | NameMap | None = None,
    **fields: Any,
) -> None:
    """Write variables under PyTorch's names and in its layouts: ``.safetensors`` or ``.npz``.

    In PyTorch: ``model.load_state_dict(safetensors.torch.load_file(path))``. The file is written
    whole or not at all.

    Args:
        name: the network's registered name.
        variables: ``{"params": …, "batch_stats": …}``.
        path: ends in ``.safetensors`` or ``.npz``.
        source: whose names to write (default: those of the library that the network comes from,
            or our own with dots, "jaxnets").
        **fields: fields that the network was made with, where names depend on them.

    Raises:
        JaxnetsError: another ending, an unknown source, or variables of another network.

    >>> import tempfile
    >>> fields = {"stages": (1, 1), "width": 4, "num_classes": 10}
    >>> shapes = abstract_variables(create_model("resnet18", **fields), (32, 32, 3))
    >>> variables = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "tiny.safetensors")
    ...     save("resnet18", variables, path, **fields)
    ...     written = read_state_dict(path)
    >>> written["layer2.0.conv1.weight"].shape, written["fc.weight"].shape
    ((8, 4, 3, 3), (10, 8))
    """
    path = Path(path)
    if path.suffix not in (".safetensors", ".npz"):
        raise JaxnetsError(f"{path}: save writes .safetensors or .npz, not {path.suffix!r}")
    kept = {k: v for k, v in variables.items() if k in ("params", "batch_stats")}
    if "params" not in kept:
        raise JaxnetsError(
            f"save: variables must be {{'params': …, 'batch_stats': …}}, got {list(variables)}"
        )
    # Rules may depend on the fields, but not on the number of classes.
    model = create_model(name, **fields)
    name_map = _chosen(name, model, source)[0]
    flat = flatten_dict(kept, sep="/")
    arrays = {}
    for match in match_variables(kept, name_map, model):
        ours = np.asarray(flat[match.path])
        arrays |= zip(match.names, to_torch(match, ours), strict=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write(arrays, temporary, path.suffix)
        os.replace(temporary, path)
    except OSError as error:
        raise JaxnetsError(f"{path}: cannot be written ({error})") from None
    finally:
        temporary.unlink(missing_ok=True)


def _write(arrays: Mapping[str, np.ndarray], path: Path, suffix: str) -> None:
    if suffix == ".npz":
        # The NumPy format knows no bfloat16.
        known = {k: v if v.dtype.kind in "fiu" else v.astype(np.float32) for k, v in arrays.items()}
        with path.open("wb") as file:
            np.savez(file, **known)
    else:
        from safetensors.numpy import save

        path.write_bytes(save(dict(arrays), metadata={"format": "pt"}))


def _chosen(name: str, model: nn.Module, source: str | NameMap | None) -> tuple[NameMap, ...]:
    if isinstance(source, NameMap):
        return (source,)
    maps = maps_of(model_info(name).family, model)
    if source is None:
        return maps
    chosen = tuple(m for m in maps if m.source == source)
    if not chosen:
        raise UnknownNameError(f"source of weights for {name}", source, {m.source for m in maps})
    return chosen


def _best(name, weights, fields, source) -> tuple[NameMap, nn.Module, list[Match], int]:
    """The name map under which the fewest tensors are missing, the network it goes with, and how
    many are missing."""
    best = None
    for name_map in _chosen(name, create_model(name, **fields), source):
        model = create_model(name, **{**name_map.fields, **fields})
        if best is None or model != best[1]:
            shapes = abstract_variables(model, model_info(name).input_shape)
        found = match_variables(shapes, name_map, model)
        present = {name_map.present_name(k) for k in weights}
        missing = sum(n not in present for match in found for n in match.names)
        if best is None or missing < best[3]:
            best = (name_map, model, found, missing)
        if missing == 0:
            break
    return best


def _check(name, model, path, name_map, wanted, weights, strict, all_matches) -> None:
    """Compare a file with what the network wants, and name every difference."""
    missing, misfits, misfit_paths = [], [], set()
    for match in wanted:
        for there in match.names:
            if there not in weights:
                missing.append(f"{there} {_shape(match.torch_shape)} for {match.path}")
            elif not fits(match, weights[there]):
                misfit_paths.add(match.path)
                misfits.append(
                    f"{there}: the file has {_shape(weights[there].shape)}, {name} needs "
                    f"{_shape(match.torch_shape)} (for {match.path} {_shape(match.shape)})"
                )
            elif weights[there].dtype.kind in "iubc":
                misfit_paths.add("")
                misfits.append(f"{there}: the file has {weights[there].dtype}, not floats")
    extra = _left_over(weights, name_map, all_matches) if strict else []
    if not (missing or misfits or extra):
        return
    lines = [f"{path}: does not fit {name} (names of {name_map.source})."]
    for title, rows in (
        (f"{len(missing)} missing in the file", missing),
        (f"{len(misfits)} of another shape or dtype", misfits),
        (f"{len(extra)} that {name} has no place for", extra),
    ):
        if rows:
            lines += [f"  {title}:", *_listed(rows)]
    if missing and extra and len(missing) <= SHOWN:
        lines += _nearest(missing, extra)
    if misfits and not missing and misfit_paths <= _head(name, model):
        lines.append(
            "  Only the classifier differs: give num_classes as the file has it, or a new "
            "classifier with reset_head=True, key=jax.random.key(0)."
        )
    elif extra and not missing and not misfits:
        lines.append("  strict=False leaves them out.")
    raise JaxnetsError("\n".join(lines))


def _left_over(weights, name_map, matches) -> list[str]:
    """Tensors that the network has no place for, with their shapes."""
    known = {there for match in matches for there in match.names}
    return [
        f"{printable(there)} {_shape(array.shape)}"
        for there, array in weights.items()
        if there not in known and not name_map.may_be_left(there)
    ]


def _listed(rows: list[str]) -> list[str]:
    more = [f"    … and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    return [*(f"    {row}" for row in rows[:SHOWN]), *more]


def _nearest(missing: list[str], extra: list[str]) -> list[str]:
    names = [row.split(" ", 1)[0] for row in extra]
    lines = []
    for row in missing:
        wanted = row.split(" ", 1)[0]
        if near := difflib.get_close_matches(wanted, names, n=1):
            lines.append(f"  Is {near[0]} what is missing as {wanted}?")
    return lines


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _head(name: str, model: nn.Module) -> set[str]:
    """Paths of the variables whose shape depends on the number of classes."""
    if model.num_classes is None:
        return set()
    size = model_info(name).input_shape
    more = model.clone(num_classes=model.num_classes + 1)
    ours, others = (flatten_dict(dict(abstract_variables(m, size)), sep="/") for m in (model, more))
    return {path for path, leaf in ours.items() if leaf.shape != others[path].shape}


def _reset(name: str, model: nn.Module, paths: set[str], key: jax.Array) -> dict[str, np.ndarray]:
    """The network's own initialization of some variables; what else it would compute is cut off."""
    images = np.zeros((1, *model_info(name).input_shape), np.float32)

    @jax.jit
    def initialize(key: jax.Array) -> dict[str, jax.Array]:
        variables = model.init({"params": key, "dropout": key}, images, train=False)
        flat = flatten_dict(dict(variables), sep="/")
        return {path: flat[path] for path in paths}

    return {path: np.asarray(value) for path, value in initialize(key).items()}
