"""Make proposals.npz and opencv_proposals.json: segments, colors and proposals of others.

    pip install scikit-image==0.26.0
    python tests/golden/make_proposals.py segments
    pip install opencv-contrib-python-headless==5.0.0.93
    python tests/golden/make_proposals.py opencv PATH/pennfudan 40

Proposals of OpenCV's selective search, fast, are measured on the first images of the test split.
"""

import json
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
PICTURES = ("waves", "patches", "gray")
SETTINGS = ((100, 20), (40, 10), (60, 60))


def pictures():
    """Small images in which hardly two differences of neighbors are equal."""
    rng = np.random.default_rng(11)
    rows, columns = np.mgrid[:60, :72]
    phases = rng.uniform(0, 6, (3, 3))
    waves = [
        128 + 50 * np.sin(rows / (5 + i) + a) + 60 * np.sin(columns / 7 + b) * np.cos(rows / 9 + c)
        for i, (a, b, c) in enumerate(phases)
    ]
    waves = np.stack(waves, -1) + rng.normal(0, 3, (60, 72, 3))
    patches = rng.integers(20, 230, (5, 6, 3)).repeat(12, 0).repeat(12, 1)
    patches = patches + rng.normal(0, 8, patches.shape)
    found = {"waves": waves, "patches": patches, "gray": patches[..., :1] / 2}
    return {name: np.clip(found[name], 0, 255) for name in PICTURES}


def colors():
    """uint8 (7, 49, 3): a grid of colors, black, white and grays among them."""
    steps = np.array([0, 1, 9, 60, 128, 200, 255], np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(7, 49, 3)


def segments():
    from skimage import color, segmentation

    stored = {
        "colors/hsv": color.rgb2hsv(colors()),
        "colors/lab": color.rgb2lab(colors()),
    }
    for name, picture in pictures().items():
        for k, least in SETTINGS:
            found = segmentation.felzenszwalb(
                picture / 255.0, scale=k, sigma=0.8, min_size=least, channel_axis=-1
            )
            stored[f"segments/{name}/{k}/{least}"] = found.astype(np.uint8)
            assert found.max() < 256
    np.savez_compressed(HERE / "proposals.npz", **stored)


def opencv(folder, count):
    import cv2
    from PIL import Image

    content = json.loads((Path(folder) / "test.json").read_text())
    images = content["images"][: int(count)]
    best, numbers = [], []
    for one in images:
        rows = [a["bbox"] for a in content["annotations"] if a["image_id"] == one["id"]]
        with Image.open(Path(folder) / "images" / one["file_name"]) as file:
            image = np.asarray(file.convert("RGB"))
        search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
        search.switchToSelectiveSearchFast()
        found = np.asarray(search.process(), np.float64)
        numbers.append(len(found))
        for x, y, w, h in rows:
            low = np.maximum(found[:, :2], (x, y))
            high = np.minimum(found[:, :2] + found[:, 2:], (x + w, y + h))
            shared = np.maximum(high - low, 0).prod(1)
            best.append((shared / (found[:, 2:].prod(1) + w * h - shared)).max())
    best = np.array(best)
    result = {
        "made_by": f"OpenCV {cv2.__version__}, switchToSelectiveSearchFast",
        "images": len(images),
        "fast": {
            "mean_best_overlap": round(float(best.mean()), 4),
            "recall": round(float((best >= 0.5).mean()), 4),
            "proposals": round(float(np.mean(numbers)), 1),
        },
    }
    (HERE / "opencv_proposals.json").write_text(json.dumps(result, indent=1) + "\n")
    print(result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["segments"]:
        segments()
    else:
        opencv(*sys.argv[2:4])
