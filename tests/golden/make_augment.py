"""Writes augment.npz: what torchvision makes of two small images at fixed parameters.

Needs torch and torchvision, which the tests do not: ``python tests/golden/make_augment.py``. Last
run with torch 2.13.0 (CPU), torchvision 0.28.0, numpy 2.4.

The images are smoothed noise, uint8, (24, 20, 3) "tall" and (20, 24, 3) "wide". Every other array
is named OPERATION/IMAGE/PARAMETERS, the parameters as JSON; layout (H, W, C), uint8 but for what
is made of the image as float32 from 0 to 1 (float_OPERATION).
"""

import contextlib
import json
from pathlib import Path

import numpy as np
import torch

with contextlib.suppress(ImportError):  # a torchvision made for another build of torch
    import tvshim  # noqa: F401
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

arrays: dict[str, np.ndarray] = {}
random = np.random.default_rng(2026)


def first(image):
    return torch.from_numpy(image).movedim(-1, 0)


def keep(operation, name, parameters, result):
    key = f"{operation}/{name}/{json.dumps(parameters)}"
    arrays[key] = result.movedim(0, -1).contiguous().numpy()


def make_image(height, width):
    noise = random.uniform(size=(height + 2, width + 2, 3))
    smooth = sum(noise[i : i + height, j : j + width] for i in range(3) for j in range(3)) / 9
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.round(255 * smooth).astype(np.uint8)


images = {"tall": make_image(24, 20), "wide": make_image(20, 24)}
for name, image in images.items():
    arrays[name] = image
    x = first(image)
    keep("flip", name, {}, F.horizontal_flip(x))
    for top, left in ((0, 0), (3, 7), (8, 8)):
        padded = F.pad(x, [4, 4])
        keep("crop", name, [top, left], F.crop(padded, top, left, *image.shape[:2]))
    for down, right in ((3, -2), (-5, 4)):
        moved = F.affine(x, angle=0.0, translate=[right, down], scale=1.0, shear=[0.0, 0.0])
        keep("translate", name, [down, right], moved)
    for operation, amounts in {
        "brightness": (0.0, 0.6, 1.7),
        "contrast": (0.0, 0.6, 1.7),
        "saturation": (0.0, 0.6, 1.7),
        "hue": (-0.5, -0.1, 0.3),
    }.items():
        adjust = getattr(F, f"adjust_{operation}")
        for amount in amounts:
            keep(operation, name, amount, adjust(x, amount))
            if name == "tall":
                keep(f"float_{operation}", name, amount, adjust(x.float() / 255, amount))
    modes = {
        "bilinear": v2.InterpolationMode.BILINEAR,
        "cubic": v2.InterpolationMode.BICUBIC,
        "nearest": v2.InterpolationMode.NEAREST_EXACT,
    }
    for method, mode in modes.items():
        for part in ((0, 0, *image.shape[:2]), (3, 2, 15, 17), (5, 6, 7, 4)):
            resized = F.resized_crop(x, *part, [10, 12], mode, antialias=True)
            keep("resized_crop", name, [method, list(part), [10, 12]], resized)
    # Twelve to six and fourteen to seven: whole pixels, where every definition of area agrees.
    part = F.crop(x, 2, 4, 12, 14)[None].double()
    area = torch.nn.functional.interpolate(part, (6, 7), mode="area")[0]
    keep("resized_crop", name, ["area", [2, 4, 12, 14], [6, 7]], area)
    keep("erase", name, [0, 5, 6, 8], F.erase(x, 0, 5, 6, 8, torch.zeros(3, 1, 1, dtype=x.dtype)))
    arrays[f"ten_crop/{name}"] = np.stack([c.movedim(0, -1).numpy() for c in F.ten_crop(x, [14])])

# Three images of one shape, and their labels, as MixUp and CutMix at given parameters.
pair = np.stack([images["wide"], images["wide"][::-1], 255 - images["wide"]])
arrays["batch"] = pair
batch = torch.from_numpy(pair).movedim(-1, 1).double() / 255
labels = torch.tensor([2, 0, 1])
mixup = v2.MixUp(num_classes=3)
cutmix = v2.CutMix(num_classes=3)
share = 1 - (24 - 6) * (15 - 4) / (20 * 24)
for name, transform, parameters in (
    ("mixup", mixup, {"lam": 0.3}),
    ("cutmix", cutmix, {"box": (6, 4, 24, 15), "lam_adjusted": share}),
):
    parameters |= {"labels": labels, "batch_size": 3, "num_classes": 3}
    mixed = transform.transform(batch.clone(), parameters)
    arrays[f"{name}/images"] = mixed.movedim(1, -1).numpy()
    arrays[f"{name}/labels"] = transform._mixup_label(
        torch.nn.functional.one_hot(labels, 3), lam=parameters.get("lam", share)
    ).numpy()

np.savez_compressed(Path(__file__).with_name("augment.npz"), **arrays)
