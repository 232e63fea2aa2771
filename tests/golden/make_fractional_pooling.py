"""Writes fractional_pooling.npz: fractional max pooling as PyTorch does it, with gradients.

Needs torch, which the tests do not: ``python tests/golden/make_fractional_pooling.py``. Last run
with torch 2.13.0 (CPU), numpy 2.4.

``cases``: a JSON list of {"window", "output_size", "dtype"}; for case i the arrays ``i/x``,
``i/samples`` (N, C, 2), the last axis (width, height), ``i/y``, ``i/g`` (random), ``i/d_x``
(gradient of Σ g·y). Channels last, but for samples.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

random = np.random.default_rng(105)
cases, arrays = [], {}
for (h, w), window, output_size, dtype, ties in [
    ((9, 11), 2, (6, 7), "float64", False),
    ((9, 11), 2, (6, 7), "float32", False),
    ((36, 25), 2, (25, 17), "float32", False),
    ((36, 25), 3, (20, 15), "float64", True),
    ((12, 12), 2, (8, 8), "float64", True),
    ((10, 30), 2, (9, 8), "float64", False),  # α = 1, and 4
    ((8, 9), 4, (1, 2), "float64", False),
    ((7, 64), 1, (5, 40), "float32", False),
    ((60, 61), 2, (43, 48), "float32", False),
]:
    small = h * w < 500
    shape = (2, 3, h, w) if small else (1, 2, h, w)
    x = random.integers(0, 3, shape) if ties else random.standard_normal(shape)
    x = torch.tensor(x, dtype=getattr(torch, dtype), requires_grad=True)
    samples = torch.tensor(random.random((*shape[:2], 2)), dtype=x.dtype)
    y = F.fractional_max_pool2d(x, window, output_size, _random_samples=samples)
    g = torch.tensor(random.standard_normal(tuple(y.shape)), dtype=x.dtype)
    y.backward(g)
    last = {"x": x.detach(), "y": y.detach(), "g": g, "d_x": x.grad}
    last = {name: t.movedim(1, -1).numpy() for name, t in last.items()}
    values = {"samples": samples.numpy(), **last}
    arrays.update({f"{len(cases)}/{name}": value for name, value in values.items()})
    cases.append({"window": window, "output_size": output_size, "dtype": dtype})

path = Path(__file__).with_name("fractional_pooling.npz")
np.savez_compressed(path, cases=np.array(json.dumps(cases)), **arrays)
print(f"{path.name}: {len(cases)} cases, {path.stat().st_size / 1024:.0f} KiB")
