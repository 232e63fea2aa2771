"""Values of torchvision's own transforms on one drawn photograph.

Run with torch 2.13.0, torchvision 0.28.0 and Pillow:  python tests/golden/make_preprocessing.py
"""

from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.models import Inception_V3_Weights, ResNet50_Weights

y, x = np.mgrid[:301, :417]
photo = np.stack([y % 256, (3 * x) % 256, (x * y // 64) % 256], -1).astype(np.uint8)
stored = {}
for name, weights in (("resnet50", ResNet50_Weights), ("inception_v3", Inception_V3_Weights)):
    made = weights.IMAGENET1K_V1.transforms()(Image.fromarray(photo)).numpy()
    if name == "inception_v3":
        # torchvision normalizes with ImageNet's statistics, and the network itself undoes that
        # (transform_input) in favor of 0.5 and 0.5, which is what our network takes.
        mean, std = (
            np.float32(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        )
        made = ((made * std + mean) - 0.5) / 0.5
    stored[name] = made.transpose(1, 2, 0)[::16, ::16]
np.savez_compressed(Path(__file__).parent / "preprocessing.npz", **stored)
