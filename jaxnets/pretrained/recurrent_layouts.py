"""Weights of recurrent layers in the orders of PyTorch, Keras and TensorFlow, to ours and back.

| library | kernels | LSTM's gates | GRU's gates | biases |
|---|---|---|---|---|
| ours | (in, gates · h) | i, f, g, o | r, z, n | one, and perhaps one inside the reset gate |
| PyTorch, cuDNN | (gates · h, in) | i, f, g, o | r, z, n | two, for input and state |
| Keras | (in, gates · h) | i, f, c, o | z, r, h | one; two rows with ``reset_after`` |
| TensorFlow | (in + h, gates · h) | i, j, f, o | r, u; candidate | one, forget + 1 when run |
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.ops.recurrent import RecurrentWeights
from jaxnets.ops.recurrent_cells import RECURRENT_CELLS
from jaxnets.pretrained.tensors import as_arrays

NAMES = {
    "torch": ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
    "keras": ("kernel", "recurrent_kernel", "bias"),
    "tensorflow": ("kernel", "bias"),
}
GRU_NAMES = ("gates/kernel", "gates/bias", "candidate/kernel", "candidate/bias")
# Where our gates stand in theirs: ours[i] = theirs[ORDER[i]].
ORDERS = {
    ("keras", "gru"): (1, 0, 2),
    ("keras", "gru_reset_before"): (1, 0, 2),
    ("tensorflow", "lstm"): (0, 2, 1, 3),
}
# tf.nn.rnn_cell.BasicLSTMCell and its successors add this to the forget gate when they run.
TENSORFLOW_FORGET_BIAS = 1.0
MADE_BY = {
    "torch": ("rnn", "rnn_relu", "lstm", "gru"),
    "keras": ("rnn", "rnn_relu", "lstm", "gru", "gru_reset_before"),
    "tensorflow": ("rnn", "rnn_relu", "lstm", "gru_reset_before"),
}


def recurrent_from(
    source: str,
    cell: str,
    weights: Mapping[str, Any],
    *,
    inputs: int | None = None,
    forget_bias: float = TENSORFLOW_FORGET_BIAS,
) -> RecurrentWeights:
    """One layer in one direction from another library's arrays.

    Args:
        source: "torch", "keras" or "tensorflow".
        cell: a name of `jaxnets.ops.RECURRENT_CELLS` that the library has.
        weights: "torch": weight_ih, weight_hh and perhaps bias_ih, bias_hh. "keras": kernel,
            recurrent_kernel and perhaps bias. "tensorflow": kernel, bias, of a "gru_reset_before"
            gates/kernel, gates/bias, candidate/kernel, candidate/bias. NumPy, JAX or PyTorch.
        inputs: d, needed for nothing but a check of "tensorflow"'s joined kernel.
        forget_bias: what TensorFlow's cell adds to an LSTM's forget gate when it runs; here it
            becomes part of the bias.

    Returns:
        The weights as `jaxnets.ops.recurrent` takes them, NumPy arrays.

    Raises:
        JaxnetsError: an unknown source, a cell that the library does not have, missing or unknown
            names, or shapes that do not fit.

    >>> torch = {"weight_ih": np.ones((12, 2)), "weight_hh": np.ones((12, 3))}
    >>> recurrent_from("torch", "lstm", torch).input.shape
    (2, 12)
    """
    gates = _gates(source, cell)
    arrays = as_arrays(weights)
    names = _names(source, cell)
    optional = {name for name in names if "bias" in name and source != "tensorflow"}
    missing, unknown = set(names) - optional - set(arrays), set(arrays) - set(names)
    if missing or unknown:
        raise JaxnetsError(
            f"weights of a {cell!r} from {source}: got {sorted(arrays)}; expected {list(names)}"
        )
    order = ORDERS.get((source, cell), range(gates))
    if source == "tensorflow":
        return _from_tensorflow(cell, arrays, order, inputs, forget_bias)
    first, second = (arrays[name] for name in names[:2])
    if source == "torch":
        first, second = first.T, second.T
    size = second.shape[0]
    if second.shape != (size, gates * size) or first.ndim != 2 or first.shape[1] != gates * size:
        raise JaxnetsError(
            f"weights of a {cell!r} from {source}: {names[0]} of shape {arrays[names[0]].shape} "
            f"and {names[1]} of {arrays[names[1]].shape} are not those of {gates} gates"
        )
    biases = [arrays[name] for name in names[2:] if name in arrays]
    if source == "keras" and biases and biases[0].ndim == 2:
        biases = list(biases[0])
    if any(bias.shape != (gates * size,) for bias in biases):
        raise JaxnetsError(
            f"bias of a {cell!r} from {source}: got shapes {[bias.shape for bias in biases]}; "
            f"expected {(gates * size,)}"
        )
    first, second = (_permute(x, order) for x in (first, second))
    biases = [_permute(bias, order) for bias in biases]
    if not biases:
        return RecurrentWeights(first, second)
    if len(biases) == 1:
        return RecurrentWeights(first, second, biases[0])
    if cell != "gru":
        return RecurrentWeights(first, second, biases[0] + biases[1])
    outside = biases[1].copy()
    outside[2 * size :] = 0
    return RecurrentWeights(first, second, biases[0] + outside, biases[1][2 * size :])


def recurrent_to(
    source: str,
    cell: str,
    weights: RecurrentWeights,
    *,
    forget_bias: float = TENSORFLOW_FORGET_BIAS,
) -> dict[str, np.ndarray]:
    """The inverse of `recurrent_from`; where a library has two biases, the second is 0.

    Args:
        source: "torch", "keras" or "tensorflow": whose order and names to give.
        cell: a name of `jaxnets.ops.RECURRENT_CELLS` that the library has.
        weights: of one layer in one direction.
        forget_bias: what TensorFlow's cell will add.

    Returns:
        Name → array.

    Raises:
        JaxnetsError: an unknown source, a cell that the library does not have, or a bias inside
            the reset gate where the library has none.

    >>> ours = RecurrentWeights(np.ones((2, 12)), np.ones((3, 12)), np.ones(12))
    >>> {name: array.shape for name, array in recurrent_to("tensorflow", "lstm", ours).items()}
    {'kernel': (5, 12), 'bias': (12,)}
    """
    gates = _gates(source, cell)
    first, second = np.asarray(weights.input), np.asarray(weights.recurrent)
    size = second.shape[0]
    bias = np.zeros(gates * size, first.dtype) if weights.bias is None else np.array(weights.bias)
    inside = np.zeros_like(bias)
    if weights.recurrent_bias is not None:
        inside[2 * size :] = weights.recurrent_bias
    inverse = np.argsort(ORDERS.get((source, cell), range(gates)))
    names = _names(source, cell)
    if source == "tensorflow" and cell == "gru_reset_before":
        joined, split = np.concatenate((first, second)), 2 * size
        parts = (joined[:, :split], bias[:split], joined[:, split:], bias[split:])
        return dict(zip(names, parts, strict=True))
    if source == "tensorflow" and cell == "lstm":
        bias[size : 2 * size] -= forget_bias
    first, second, bias, inside = (_permute(x, inverse) for x in (first, second, bias, inside))
    if source == "tensorflow":
        return dict(zip(names, (np.concatenate((first, second)), bias), strict=True))
    if source == "torch":
        return dict(zip(names, (first.T, second.T, bias, inside), strict=True))
    if cell == "gru":
        bias = np.stack((bias, inside))
    return dict(zip(names, (first, second, bias), strict=True))


def recurrent_params_from_torch(
    cell: str, state_dict: Mapping[str, Any], *, prefix: str = ""
) -> dict[str, dict[str, np.ndarray]]:
    """Parameters of a `jaxnets.nn.Recurrent` from the state dict of torch.nn.RNN, LSTM or GRU.

    Args:
        cell: "rnn", "rnn_relu", "lstm" or "gru".
        state_dict: with names such as weight_ih_l0 and weight_hh_l1_reverse.
        prefix: of the names, such as "encoder.rnn."; others are left out.

    Returns:
        {"layer0_forward": {"input_kernel": …}, …}; where there are no biases they are 0. A "gru"
        needs ``recurrent_bias=True``.

    Raises:
        JaxnetsError: no such names, or as `recurrent_from`.

    >>> state_dict = {"rnn.weight_ih_l0": np.ones((3, 2)), "rnn.weight_hh_l0": np.ones((3, 3))}
    >>> sorted(recurrent_params_from_torch("rnn", state_dict, prefix="rnn.")["layer0_forward"])
    ['bias', 'input_kernel', 'recurrent_kernel']
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, array in state_dict.items():
        if name.startswith(prefix):
            kind, _, place = name.removeprefix(prefix).partition("_l")
            number, _, direction = place.partition("_")
            if kind in NAMES["torch"] and direction in ("", "reverse") and number.isdigit():
                key = f"layer{number}_{'backward' if direction else 'forward'}"
                groups.setdefault(key, {})[kind] = array
    if not groups:
        raise JaxnetsError(
            f"state dict: no name like {prefix}weight_ih_l0 among {sorted(state_dict)[:5]}"
        )
    return {
        key: recurrent_params(cell, recurrent_from("torch", cell, group))
        for key, group in groups.items()
    }


def recurrent_params(cell: str, weights: RecurrentWeights) -> dict[str, np.ndarray]:
    """The parameters of one layer and direction of a `jaxnets.nn.Recurrent`.

    Args:
        cell: a name of `jaxnets.ops.RECURRENT_CELLS`.
        weights: of one layer in one direction.

    Returns:
        input_kernel, recurrent_kernel, bias (0 where there is none), and recurrent_bias where there
        is one.

    >>> sorted(recurrent_params("rnn", RecurrentWeights(np.ones((2, 3)), np.ones((3, 3)))))
    ['bias', 'input_kernel', 'recurrent_kernel']
    """
    params = {"input_kernel": weights.input, "recurrent_kernel": weights.recurrent}
    wide = weights.recurrent.shape[1]
    bias = np.zeros(wide, weights.input.dtype) if weights.bias is None else weights.bias
    params["bias"] = bias
    if weights.recurrent_bias is not None:
        params["recurrent_bias"] = weights.recurrent_bias
    return params


def _gates(source: str, cell: str) -> int:
    if source not in NAMES:
        raise UnknownNameError("library of recurrent weights", source, NAMES)
    if cell not in MADE_BY[source]:
        raise JaxnetsError(
            f"cell: {source} has no {cell!r} as we name them; it has {', '.join(MADE_BY[source])}"
        )
    return RECURRENT_CELLS[cell].gates


def _names(source: str, cell: str) -> tuple[str, ...]:
    return GRU_NAMES if (source, cell) == ("tensorflow", "gru_reset_before") else NAMES[source]


def _permute(x: np.ndarray, order) -> np.ndarray:
    """The last axis' gates in another order."""
    parts = np.split(x, len(order), -1)
    return np.concatenate([parts[i] for i in order], -1)


def _from_tensorflow(cell, arrays, order, inputs, forget_bias) -> RecurrentWeights:
    if cell == "gru_reset_before":
        kernel = np.concatenate((arrays["gates/kernel"], arrays["candidate/kernel"]), -1)
        bias = np.concatenate((arrays["gates/bias"], arrays["candidate/bias"]))
    else:
        kernel, bias = arrays["kernel"], arrays["bias"]
    size = len(bias) // RECURRENT_CELLS[cell].gates
    rows = kernel.shape[0] - size
    if kernel.shape[1] != len(bias) or rows < 1 or inputs not in (None, rows):
        raise JaxnetsError(
            f"kernel of a {cell!r} from tensorflow: got shape {kernel.shape} with a bias of "
            f"{len(bias)}; expected ({inputs or 'd'} + {size}, {len(bias)})"
        )
    kernel, bias = _permute(kernel, order), _permute(bias, order).copy()
    if cell == "lstm":
        bias[size : 2 * size] += forget_bias
    return RecurrentWeights(kernel[:rows], kernel[rows:], bias)
