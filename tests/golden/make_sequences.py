"""Writes sequences.npz: what PyTorch and Keras make of small sequences, with gradients, in float64.

Needs torch and keras (with ``KERAS_BACKEND=torch``), which the tests do not:
``KERAS_BACKEND=torch python tests/golden/make_sequences.py``. Last run with torch 2.13.0 (CPU),
keras 3.15.1, numpy 2.4.

The file holds ``cases``, a JSON list, and for case i the arrays ``i/NAME``: "x", "lengths" (where
padded), the weights under the library's names, initial states "h0" and "c0", results "y", "hn" and
"cn", random cotangents "g_y", "g_hn" and "g_cn", and "d_NAME": gradients of Σ g·result.
"""

import json
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_default_dtype(torch.float64)
keras.config.set_floatx("float64")
random = np.random.default_rng(2026)
cases, arrays = [], {}
BATCH, TIME, INPUTS, UNITS = 3, 5, 3, 4


def draw(*shape, scale=1.0):
    return torch.tensor(scale * random.standard_normal(shape), requires_grad=True)


def store(case, inputs, results, constants=()):
    """Run backward with random cotangents and keep everything."""
    cotangents = {
        k: torch.tensor(random.standard_normal(tuple(v.shape))) for k, v in results.items()
    }
    sum((results[k] * cotangents[k]).sum() for k in results).backward()
    values = {k: v.detach().numpy() for k, v in {**inputs, **results}.items()}
    values |= {f"g_{k}": v.numpy() for k, v in cotangents.items()}
    values |= {f"d_{k}": v.grad.numpy() for k, v in inputs.items()}
    values |= dict(constants)
    arrays.update({f"{len(cases)}/{k}": v for k, v in values.items()})
    cases.append(case)


def torch_recurrent(cell, layers, bidirectional, padded):
    torch.manual_seed(len(cases))
    kind = {"rnn": "RNN", "rnn_relu": "RNN", "lstm": "LSTM", "gru": "GRU"}[cell]
    options = {"nonlinearity": "relu"} if cell == "rnn_relu" else {}
    net = getattr(torch.nn, kind)(
        INPUTS, UNITS, layers, batch_first=True, bidirectional=bidirectional, **options
    )
    x, states = draw(BATCH, TIME, INPUTS), layers * (1 + bidirectional)
    h0, c0 = draw(states, BATCH, UNITS), draw(states, BATCH, UNITS)
    given, constants = x, {}
    if padded:
        lengths = np.array([3, 5, 1])
        constants["lengths"] = lengths
        given = pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
    y, state = net(given, (h0, c0) if cell == "lstm" else h0)
    if padded:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=TIME)
    inputs = {"x": x, "h0": h0, **dict(net.named_parameters())}
    results = {"y": y, "hn": state}
    if cell == "lstm":
        inputs["c0"] = c0
        results |= {"hn": state[0], "cn": state[1]}
    case = {"library": "torch", "cell": cell, "layers": layers, "bidirectional": bidirectional}
    store(case, inputs, results, constants)


for cell in ("rnn", "rnn_relu", "lstm", "gru"):
    torch_recurrent(cell, 1, False, False)
    torch_recurrent(cell, 2, True, True)


def keras_recurrent(cell, padded, **options):
    keras.utils.set_random_seed(len(cases))
    kind = "LSTM" if cell == "lstm" else "GRU"
    net = getattr(keras.layers, kind)(
        UNITS, return_sequences=True, return_state=True, bias_initializer="uniform", **options
    )
    x = draw(BATCH, TIME, INPUTS)
    mask = constants = None
    if padded:
        lengths = np.array([3, 5, 1])
        constants = {"lengths": lengths}
        mask = torch.tensor(np.arange(TIME) < lengths[:, None])
    y, *state = net(x, mask=mask)
    if padded:
        y = y * mask[..., None]  # Keras repeats the last output, PyTorch and we have zeros.
    names = ("kernel", "recurrent_kernel", "bias")
    weights = {k: v.value for k, v in zip(names, net.weights, strict=True)}
    for weight in weights.values():
        weight.requires_grad_(True)
    results = {"y": y, "hn": state[0]} | ({"cn": state[1]} if cell == "lstm" else {})
    store({"library": "keras", "cell": cell}, {"x": x, **weights}, results, constants or {})


keras_recurrent("lstm", False)
keras_recurrent("gru", True, reset_after=True)
keras_recurrent("gru_reset_before", True, reset_after=False)


def dot_product(causal):
    q, k, v = draw(2, 2, 4, 3), draw(2, 2, 4, 3), draw(2, 2, 4, 5)
    y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    store({"op": "dot_product", "causal": causal}, {"q": q, "k": k, "v": v}, {"y": y})


dot_product(False)
dot_product(True)


def multi_head():
    torch.manual_seed(7)
    net = torch.nn.MultiheadAttention(6, 3, batch_first=True)
    torch.nn.init.normal_(net.in_proj_bias)
    torch.nn.init.normal_(net.out_proj.bias)
    q, kv = draw(2, 4, 6), draw(2, 5, 6)
    hidden = np.array([[False] * 5, [False, False, True, True, False]])
    y, weights = net(q, kv, kv, key_padding_mask=torch.tensor(hidden), average_attn_weights=False)
    inputs = {"q": q, "kv": kv, **dict(net.named_parameters())}
    store({"op": "multi_head", "heads": 3}, inputs, {"y": y, "weights": weights}, {"mask": ~hidden})


multi_head()


def additive():
    q, v = draw(2, 4, 3), draw(2, 5, 3)
    layer = keras.layers.AdditiveAttention()
    y = layer([q, v])
    energy = layer.weights[0].value
    energy.requires_grad_(True)
    store({"op": "additive"}, {"q": q, "v": v, "energy": energy}, {"y": y})


additive()

path = Path(__file__).with_name("sequences.npz")
np.savez_compressed(path, cases=np.array(json.dumps(cases)), **arrays)
print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1024:.0f} KiB")
