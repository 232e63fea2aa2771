"""Make detection.npz and detection_names.json.gz: what torchvision's detectors compute.

    python tests/golden/make_detection.py [NETWORK…]

Ran with torch 2.13.0 and torchvision 0.28.0 on a CPU, in float64. Every tensor of a state dict gets
the values that `named_values.py` makes of its name. Stored are the names and shapes, every n-th
number of the network's outputs, the losses, and the detections of the first image.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torchvision.models import detection

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import named_values  # noqa: E402

PLAIN = {
    "weights": None,
    "weights_backbone": None,
    "image_mean": [0.0] * 3,
    "image_std": [1.0] * 3,
}
# Name: images, side in pixels, objects of an image, further arguments.
CASES = {
    "ssd300_vgg16": (1, 300, 3, {"score_thresh": 0.0}),
    "ssdlite320_mobilenet_v3_large": (2, 320, 3, {"score_thresh": 0.0}),
    # Whatever is above the threshold enters the suppression.
    "retinanet_resnet50_fpn": (
        *(2, 128, 3),
        {
            **{"score_thresh": 0.99, "topk_candidates": 4000, "detections_per_img": 1000},
            **{"min_size": 128, "max_size": 128},
        },
    ),
    # Group normalization keeps the size of its numbers.
    "fcos_resnet50_fpn": (
        *(2, 128, 3),
        {
            **{"score_thresh": 0.85, "topk_candidates": 4000, "detections_per_img": 1000},
            **{"min_size": 128, "max_size": 128},
        },
    ),
}


def sampled(array, count=400):
    """Every n-th number."""
    flat = array.detach().reshape(-1)
    return flat[:: max(1, len(flat) // count)].numpy()


def run(name):
    batch, size, count, more = CASES[name]
    torch.manual_seed(0)
    model = getattr(detection, name)(**PLAIN, **more)
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if "num_batches" not in k}
    state = {k: torch.from_numpy(named_values.value(k, s)) for k, s in shapes.items()}
    model.load_state_dict(state, strict=False)
    model = model.double()
    x = torch.from_numpy(named_values.images(batch, size, size).transpose(0, 3, 1, 2).copy())
    boxes, labels = named_values.objects(batch, count, size, 90)
    targets = [
        {"boxes": torch.from_numpy(b).double(), "labels": torch.from_numpy(n).long() + 1}
        for b, n in zip(boxes, labels, strict=True)
    ]
    kept = {}
    model.head.register_forward_hook(lambda module, inputs, output: kept.update(output))
    with torch.no_grad():
        found = model.eval()(list(x.double()))[0]
        out = {f"output/{k}": sampled(v) for k, v in kept.items()}
        # Losses of the network as it is in evaluation.
        for module in model.modules():
            module.training = False
        model.training = True
        out |= {f"loss/{k}": v.numpy() for k, v in model(list(x.double()), targets).items()}
    # Class 0 is background, which trained networks never find.
    real = found["labels"] > 0
    out |= {f"found/{k}": v[real][:100].numpy() for k, v in found.items()}
    print(len(real), float(found["scores"].min()))
    return shapes, {k: np.asarray(v, None if "labels" in k else np.float32) for k, v in out.items()}


def main(names):
    stored, table = HERE / "detection.npz", HERE / "detection_names.json.gz"
    arrays = dict(np.load(stored)) if stored.exists() and names else {}
    known = json.loads(gzip.decompress(table.read_bytes())) if table.exists() and names else {}
    for name in names or CASES:
        known[name], values = run(name)
        arrays = {k: v for k, v in arrays.items() if not k.startswith(f"{name}/")}
        arrays |= {f"{name}/{key}": value for key, value in values.items()}
        print(name, {k: v.shape for k, v in values.items()}, flush=True)
    np.savez_compressed(stored, **arrays)
    content = json.dumps(known, sort_keys=True).encode()
    table.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
