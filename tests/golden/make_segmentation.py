"""Make segmentation.npz and segmentation_names.json.gz: what torchvision's segmenters compute.

    python tests/golden/make_segmentation.py

Ran with torch 2.13.0 and torchvision 0.28.0 on a CPU, in float64. Every tensor of a state dict gets
the values that `named_values.py` makes of its name. Stored are the names and shapes, and every n-th
number of the scores of an image of 65×97 pixels, and of the auxiliary head's.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.models import segmentation

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import named_values  # noqa: E402

NAMES = (
    *("fcn_resnet50", "fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"),
    *("deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
)


def run(name):
    more = {} if name.startswith("lraspp") else {"aux_loss": True}
    model = getattr(segmentation, name)(weights=None, weights_backbone=None, **more)
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if "num_batches" not in k}
    state = {k: torch.from_numpy(named_values.value(k, s)) for k, s in shapes.items()}
    model.load_state_dict(state, strict=False)
    x = torch.from_numpy(named_values.images(1, 65, 97).transpose(0, 3, 1, 2).copy()).double()
    with torch.no_grad():
        found = model.double().eval()(x)
    kept = {}
    for key, value in found.items():
        flat = value.permute(0, 2, 3, 1).reshape(-1)
        kept[key] = flat[:: len(flat) // 400].numpy().astype(np.float32)
    return shapes, kept


def main():
    arrays, known = {}, {}
    for name in NAMES:
        known[name], values = run(name)
        arrays |= {f"{name}/{key}": value for key, value in values.items()}
        print(name, {k: float(np.abs(v).max()) for k, v in values.items()}, flush=True)
    np.savez_compressed(HERE / "segmentation.npz", **arrays)
    content = json.dumps(known, sort_keys=True).encode()
    (HERE / "segmentation_names.json.gz").write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main()
