"""Writes ops.npz: what PyTorch makes of small inputs, with gradients, in float64.

Needs torch, which the tests do not: ``python tests/golden/make_ops.py``. Last run with torch
2.13.0 (CPU), numpy 2.4.

The file holds ``cases``, a JSON list of {"op", "options"}, and for case i the arrays ``i/NAME``:
inputs, "y" (the result), "g" (random), and "d_NAME" (gradients of Σ g·y). Layout: channels last.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.default_rng(2024)


def first(t):
    return t.movedim(-1, 1)


def last(t):
    return t.movedim(1, -1)


def max_pool(x, window, strides, padding, ceil_mode):
    pool = getattr(F, f"max_pool{x.ndim - 2}d")
    return last(pool(first(x), window, strides, padding, ceil_mode=ceil_mode))


def avg_pool(x, window, strides, padding, ceil_mode, count_include_pad):
    pool = getattr(F, f"avg_pool{x.ndim - 2}d")
    return last(pool(first(x), window, strides, padding, ceil_mode, count_include_pad))


def adaptive_avg_pool(x, output_size):
    return last(getattr(F, f"adaptive_avg_pool{x.ndim - 2}d")(first(x), output_size))


def local_response_norm(x, size, alpha, beta, k, divide_by_size):
    assert divide_by_size, "the only thing that PyTorch does"
    return last(F.local_response_norm(first(x), size, alpha, beta, k))


def batch_norm(x, scale, bias, mean, var, train):
    # Writes the new running averages into mean and var, with their 10 % of the batch's.
    return last(F.batch_norm(first(x), mean, var, scale, bias, train, momentum=0.1))


TORCH = {
    "sigmoid": lambda x: torch.sigmoid(x),
    "tanh": lambda x: torch.tanh(x),
    "relu": lambda x: torch.relu(x),
    "leaky_relu": lambda x, **options: F.leaky_relu(x, **options),
    "elu": lambda x, **options: F.elu(x, **options),
    "prelu": lambda x, slope: last(F.prelu(first(x), slope.reshape(-1))),
    "max_pool": max_pool,
    "avg_pool": avg_pool,
    "adaptive_avg_pool": adaptive_avg_pool,
    "local_response_norm": local_response_norm,
    "batch_norm": batch_norm,
    "dense": lambda x, kernel, bias: F.linear(x, kernel.T, bias),
    "cross_entropy": lambda logits, labels, **options: F.cross_entropy(logits, labels, **options),
}
STATE = ("mean", "var")
cases, arrays = [], {}


def add(op, options, **inputs):
    tensors = {name: torch.tensor(value) for name, value in inputs.items()}
    for name, tensor in tensors.items():
        tensor.requires_grad_(tensor.is_floating_point() and name not in (*STATE, "labels"))
    y = TORCH[op](**tensors, **options)
    g = torch.tensor(random.standard_normal(tuple(y.shape)))
    y.backward(g)
    values = dict(inputs, y=y.detach().numpy(), g=g.numpy())
    for name, tensor in tensors.items():
        if tensor.grad is not None:
            values[f"d_{name}"] = tensor.grad.numpy()
        if name in STATE:
            values[f"new_{name}"] = tensor.numpy()
    arrays.update({f"{len(cases)}/{name}": value for name, value in values.items()})
    cases.append({"op": op, "options": options})


normal = random.standard_normal

# Activations, from far left to far right, but not at a kink, where slopes are a matter of taste.
line = np.concatenate([np.linspace(-6, 6, 24), [-1e4, -100.0, 100.0, 1e4, 0.3, -0.3]])
for op, options in [
    ("sigmoid", {}),
    ("tanh", {}),
    ("relu", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.2}),
    ("elu", {}),
    ("elu", {"alpha": 0.5}),
]:
    add(op, options, x=line)
add("prelu", {}, x=normal((5, 4, 3)), slope=np.array(0.3))
add("prelu", {}, x=normal((5, 4, 3)), slope=np.array([0.25, 0.1, -0.2]))

# Max pooling: few different numbers, so that equal maxima decide where gradients go.
names = ("window", "strides", "padding", "ceil_mode", "count_include_pad")
for shape, *options in [
    ((2, 7, 8, 3), 2, 2, 0, False),
    ((2, 7, 8, 3), 3, 2, 0, False),
    ((2, 7, 8, 3), 3, 2, 1, False),
    ((2, 8, 8, 2), 3, 2, 0, True),
    ((2, 7, 10, 2), 3, 2, 1, True),
    ((1, 6, 6, 2), 3, 1, 1, False),
    ((1, 9, 6, 2), (3, 2), (2, 1), (1, 0), True),
    ((1, 5, 5, 1), 2, 3, 0, True),
    ((2, 9, 3), 3, 2, 1, True),
    ((1, 5, 6, 4, 2), (2, 3, 3), (1, 2, 2), (0, 1, 1), False),
    ((1, 4, 6, 6, 2), (1, 2, 2), (1, 2, 2), 0, False),
]:
    x = random.integers(0, 4, shape).astype(np.float64)
    add("max_pool", dict(zip(names, options, strict=False)), x=x)

for shape, *options in [
    ((2, 6, 8, 3), 2, 2, 0, False, True),
    ((2, 7, 8, 3), 3, 2, 1, False, True),
    ((2, 7, 8, 3), 3, 2, 1, False, False),
    ((2, 7, 8, 3), 3, 1, 1, False, True),
    ((2, 7, 8, 3), 3, 1, 1, False, False),
    ((2, 8, 8, 2), 3, 2, 0, True, True),
    ((2, 8, 9, 2), 3, 2, 1, True, True),
    ((2, 8, 9, 2), 3, 2, 1, True, False),
    ((1, 14, 14, 2), 5, 3, 0, True, True),
    ((1, 9, 6, 2), (3, 2), (2, 1), (1, 0), True, False),
    ((2, 9, 3), 3, 2, 1, True, True),
    ((1, 5, 6, 5, 2), (2, 3, 3), (1, 2, 2), (0, 1, 1), False, False),
]:
    add("avg_pool", dict(zip(names, options, strict=True)), x=normal(shape))

for shape, size in [
    ((2, 7, 10, 3), 7),
    ((2, 7, 10, 3), (3, 4)),
    ((2, 6, 6, 2), 3),
    ((1, 3, 4, 2), (7, 5)),
    ((2, 11, 3), 4),
    ((1, 5, 4, 3, 2), (2, 3, 2)),
]:
    add("adaptive_avg_pool", {"output_size": size}, x=normal(shape))

for size, alpha, beta, k in [(5, 1e-4, 0.75, 2.0), (3, 0.3, 0.5, 1.0), (4, 0.2, 1.3, 1.5)]:
    options = {"size": size, "alpha": alpha, "beta": beta, "k": k, "divide_by_size": True}
    add("local_response_norm", options, x=3 * normal((2, 3, 3, 9)))

# 16 values a channel, where the unbiased variance is well apart from the biased.
for shape in ((16, 5), (4, 2, 2, 5)):
    for train in (False, True):
        add(
            "batch_norm",
            {"train": train},
            x=2 * normal(shape) + 3,
            scale=1 + 0.3 * normal(5),
            bias=normal(5),
            mean=normal(5),
            var=0.5 + random.random(5),
        )

add("dense", {}, x=normal((2, 3, 4)), kernel=normal((4, 5)), bias=normal(5))

for smoothing in (0.0, 0.1):
    for reduction in ("mean", "sum", "none"):
        options = {"label_smoothing": smoothing, "reduction": reduction}
        labels = random.integers(0, 4, 6)
        add("cross_entropy", options, logits=3 * normal((6, 4)), labels=labels)
soft = random.random((6, 4))
soft = soft / soft.sum(1, keepdims=True)
add("cross_entropy", {"label_smoothing": 0.1}, logits=3 * normal((6, 4)), labels=soft)

path = Path(__file__).with_name("ops.npz")
np.savez_compressed(path, cases=np.array(json.dumps(cases)), **arrays)
print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1024:.0f} KiB")
