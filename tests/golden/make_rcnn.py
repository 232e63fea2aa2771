"""Make rcnn.npz and rcnn_names.json.gz: what torchvision's detectors of two stages compute.

    python tests/golden/make_rcnn.py [NETWORK…]

Ran with torch 2.13.0 and torchvision 0.28.0 on a CPU, in float64. Every tensor of a state dict gets
the values that `named_values.py` makes of its name; those of the last layers are then divided by
the spread of what they give, since random numbers grow on their way through fifty layers. Stored
are names, shapes and these factors, the detections of the first image, the regions and anchors that
were drawn, and the losses. With the same numbers of regions the two networks on MobileNet are one;
of the eight convolutions for key points two are left.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import named_values  # noqa: E402

SIDE, CLASSES, OBJECTS, JOINTS, FOUND = 128, 6, 4, 17, 55
NAMES = (
    *("fasterrcnn_mobilenet_v3_large_320_fpn", "keypointrcnn_resnet50_fpn"),
    *("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2"),
    *("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2"),
)
PLAIN = {
    **{"weights": None, "weights_backbone": None, "num_classes": CLASSES},
    **{"image_mean": [0.0] * 3, "image_std": [1.0] * 3, "min_size": SIDE, "max_size": SIDE},
    **{"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 60, "rpn_score_thresh": 0.0},
    **{"rpn_pre_nms_top_n_train": 80, "rpn_post_nms_top_n_train": 80},
    **{"box_score_thresh": 0.0, "box_batch_size_per_image": 64, "rpn_batch_size_per_image": 64},
}
# Modules whose results are brought to a spread, those that come first in front.
LAST = {
    "rpn.head.cls_logits": 2.0,
    "rpn.head.bbox_pred": 0.3,
    "roi_heads.box_predictor.cls_score": 1.5,
    "roi_heads.box_predictor.bbox_pred": 1.0,
    "roi_heads.mask_predictor.mask_fcn_logits": 2.0,
    "roi_heads.keypoint_predictor.kps_score_lowres": 2.0,
}


def truth():
    """Boxes, labels from 0, elliptic masks and key points of two images."""
    rng = np.random.RandomState(6)
    boxes, labels = named_values.objects(2, OBJECTS, SIDE, CLASSES - 1)
    place = np.arange(SIDE) + 0.5
    center, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2
    x = (place - center[..., :1]) / half[..., :1]
    y = (place - center[..., 1:]) / half[..., 1:]
    masks = (x[..., None, :] ** 2 + y[..., None] ** 2 < 1).astype(np.uint8)
    share = rng.uniform(-0.1, 1.1, (2, OBJECTS, JOINTS, 2))
    points = boxes[:, :, None, :2] + share * 2 * half[:, :, None]
    seen = rng.randint(0, 3, (2, OBJECTS, JOINTS, 1))
    return boxes, labels, masks, np.concatenate([points, seen], -1).astype(np.float32)


def run(name):
    import torch
    from torchvision.models import detection

    torch.manual_seed(0)
    more = {}
    if "keypoint" in name:
        head = detection.keypoint_rcnn.KeypointRCNNHeads(256, (512,) * 2)
        more = {"num_keypoints": JOINTS, "keypoint_head": head}
    model = getattr(detection, name)(**PLAIN, **more)
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if "num_batches" not in k}
    state = {k: torch.from_numpy(named_values.value(k, s)) for k, s in shapes.items()}
    model.load_state_dict(state, strict=False)
    model = model.double().eval()
    x = torch.from_numpy(named_values.images(2, SIDE, SIDE).transpose(0, 3, 1, 2).copy()).double()
    modules, factors = dict(model.named_modules()), {}
    for last, spread in LAST.items():
        if last not in modules:
            continue
        seen = []
        hook = modules[last].register_forward_hook(
            lambda m, i, out, s=seen: s.append(out.flatten())
        )
        model.roi_heads.detections_per_img = 4
        with torch.no_grad():
            model(list(x))
        hook.remove()
        model.roi_heads.detections_per_img = FOUND
        # float32, as it is stored.
        factors[last] = float(np.float32(spread / torch.cat(seen).std().item()))
        for tensor in modules[last].parameters():
            tensor.data *= factors[last]
    boxes, labels, masks, points = truth()
    targets = [
        {
            "boxes": torch.from_numpy(boxes[i]).double(),
            "labels": torch.from_numpy(labels[i]).long() + 1,
            "masks": torch.from_numpy(masks[i]),
            "keypoints": torch.from_numpy(points[i]),
        }
        for i in range(2)
    ]
    kept, drawn = {}, []
    heads, sampler, select = (
        model.roi_heads,
        model.rpn.fg_bg_sampler,
        model.roi_heads.select_training_samples,
    )
    hook = heads.register_forward_hook(lambda m, i, out: kept.update(found=out[0]))

    def sampled(labels):
        found = sampler(labels)
        drawn.extend(torch.where(a | b)[0].numpy() for a, b in zip(*found, strict=True))
        return found

    def selected(*arguments):
        kept["regions"] = select(*arguments)
        return kept["regions"]

    with torch.no_grad():
        model(list(x))
        hook.remove()
        found = {k: v.numpy() for k, v in kept["found"][0].items()}
        model.rpn.fg_bg_sampler, heads.select_training_samples = sampled, selected
        # Losses of the network as it is in evaluation.
        model.training = model.rpn.training = heads.training = True
        losses = model(list(x), targets)
    out = {f"found/{k}": v for k, v in found.items() if k != "masks"}
    if "masks" in found:
        # Laid over the image: what follows the heads writes into what they found.
        out["found/masks"] = found["masks"][:12, 0]
    out |= {f"loss/{k}": v.numpy() for k, v in losses.items()}
    out |= {f"anchors{i}": drawn[i].astype(np.int32) for i in range(2)}
    out |= {f"regions{i}": kept["regions"][0][i].numpy() for i in range(2)}
    out |= {f"factor/{k}": v for k, v in factors.items()}
    positive = [int((label > 0).sum()) for label in kept["regions"][2]]
    print(name, len(found["scores"]), positive, {k: float(v) for k, v in losses.items()})
    print(found["scores"][:3], found["scores"][-3:])
    return shapes, {
        k: np.asarray(v, None if "labels" in k or "anchors" in k else np.float32)
        for k, v in out.items()
    }


def main(names):
    stored, table = HERE / "rcnn.npz", HERE / "rcnn_names.json.gz"
    arrays = dict(np.load(stored)) if stored.exists() and names else {}
    known = json.loads(gzip.decompress(table.read_bytes())) if table.exists() and names else {}
    for name in names or NAMES:
        known[name], values = run(name)
        arrays = {k: v for k, v in arrays.items() if not k.startswith(f"{name}/")}
        arrays |= {f"{name}/{key}": value for key, value in values.items()}
        np.savez_compressed(stored, **arrays)
        content = json.dumps(known, sort_keys=True).encode()
        table.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
