"""Make checkpoints/: small files that PyTorch itself wrote, and what PyTorch reads from them.

    python tests/golden/make_checkpoints.py

Ran with torch 2.13.0. zip.pt and legacy.pt hold the same training checkpoint: every dtype, views
with offset and strides, two tensors of one storage, an empty one and a scalar, a parameter, under
"state_dict" with DataParallel's prefix, beside numbers and strings. protocol4.pt is in the zip
format, pickled by protocol 4. expected.npz has the values; bfloat16 and float8 as float32.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent / "checkpoints"
DTYPES = ["float64", "float32", "float16", "bfloat16", "complex64"]
DTYPES += ["int64", "int32", "int16", "int8", "uint8", "bool"]
# Without a storage class of their own: only in the zip format.
NEW_DTYPES = ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"]


def tensors(new):
    torch.manual_seed(0)
    base = torch.arange(60, dtype=torch.float32).reshape(5, 12) / 7
    state = OrderedDict()
    state["view.offset"] = base[2]
    state["view.transposed"] = base.t()
    state["view.strided"] = base[1::2, 3::4]
    state["view.shared"] = base[2:4, :5]
    state["channels_last"] = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state["empty"] = torch.zeros(0, 3)
    state["scalar"] = torch.tensor(2.5)
    state["parameter"] = torch.nn.Parameter(torch.rand(4))
    for name in DTYPES + (NEW_DTYPES if new else []):
        state[f"dtype.{name}"] = (torch.rand(3, 2) * 5).to(getattr(torch, name))
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


def checkpoint(new):
    optimizer = {"state": {0: {"step": 3, "momentum": torch.ones(2)}}, "groups": [{"lr": 0.1}]}
    return {
        "epoch": 7,
        "best": 91.25,
        "arch": "resnet20",
        "names": ("a", "b", None, True),
        "size": torch.Size([2, 3]),
        "state_dict": tensors(new),
        "optimizer": optimizer,
    }


def as_numpy(tensor):
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16 or "float8" in str(tensor.dtype):
        tensor = tensor.float()
    return tensor.numpy().copy()


HERE.mkdir(exist_ok=True)
torch.save(checkpoint(new=True), HERE / "zip.pt")
torch.save(checkpoint(new=False), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(tensors(new=False), HERE / "protocol4.pt", pickle_protocol=4)
expected = {name.removeprefix("module."): as_numpy(t) for name, t in tensors(new=True).items()}
np.savez_compressed(HERE / "expected.npz", **expected)
