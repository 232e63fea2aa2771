"""Weights of torch.nn.MultiheadAttention as parameters of `jaxnets.nn.MultiHeadAttention`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained.tensors import as_arrays

PARTS = ("query", "key", "value")


def attention_params_from_torch(
    state_dict: Mapping[str, Any], *, prefix: str = ""
) -> dict[str, dict[str, np.ndarray]]:
    """Parameters of a `jaxnets.nn.MultiHeadAttention` from torch.nn.MultiheadAttention's.

    Args:
        state_dict: with in_proj_weight (3 d, d), or q_proj_weight, k_proj_weight and v_proj_weight
            where keys and values have other features; out_proj.weight; perhaps biases.
        prefix: of the names, such as "layers.0.self_attn."; others are left out.

    Returns:
        {"query": {"kernel": …, "bias": …}, "key": …, "value": …, "out": …}.

    Raises:
        JaxnetsError: weights are missing, or it has extra keys (bias_k, bias_v).

    >>> weights = {"in_proj_weight": np.ones((12, 4)), "out_proj.weight": np.ones((4, 4))}
    >>> {name: part["kernel"].shape for name, part in attention_params_from_torch(weights).items()}
    {'query': (4, 4), 'key': (4, 4), 'value': (4, 4), 'out': (4, 4)}
    """
    arrays = as_arrays(state_dict)
    arrays = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    if "bias_k" in arrays or "bias_v" in arrays:
        raise JaxnetsError("state dict: bias_k and bias_v (add_bias_kv=True) have no place here")
    if "in_proj_weight" in arrays:
        kernels = np.split(arrays["in_proj_weight"], 3)
    else:
        kernels = [arrays.get(f"{part[0]}_proj_weight") for part in PARTS]
    out = arrays.get("out_proj.weight")
    if out is None or any(kernel is None for kernel in kernels):
        raise JaxnetsError(
            f"state dict: no in_proj_weight and out_proj.weight with the prefix {prefix!r} among "
            f"{sorted(state_dict)[:5]}"
        )
    params = {
        name: {"kernel": k.T} for name, k in zip((*PARTS, "out"), (*kernels, out), strict=True)
    }
    if "in_proj_bias" in arrays:
        for name, bias in zip(PARTS, np.split(arrays["in_proj_bias"], 3), strict=True):
            params[name]["bias"] = bias
    if "out_proj.bias" in arrays:
        params["out"]["bias"] = arrays["out_proj.bias"]
    return params
