"""Enlarge images three times by SRCNN, and measure it against bicubic interpolation.

Command:  python -m experiments.super_resolution.enlarge IMAGES --weights 9-5-5_x3.mat
          python -m experiments.super_resolution.enlarge IMAGE --weights 9-5-5_x3.mat --no-measure
Time:     seconds on two CPU cores.
Result:   measured, each image is made three times smaller and enlarged again: PSNR of luminance
          without a border of three pixels. Set5 with the published weights: bicubic 30.39, 9-1-5
          32.43, 9-3-5 32.57, 9-5-5 32.51 dB. runs/enlarge/: pictures and summary.json.

IMAGES is a file or a folder. --no-measure enlarges what is there.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxnets import command
from jaxnets.data import bicubic, luminance, read_image, to_gray_levels
from jaxnets.data.yolo_files import list_images
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import psnr
from jaxnets.models import create_model
from jaxnets.pretrained import load_srcnn
from jaxnets.study.summaries import write_settings
from jaxnets.study.synthetic_objects import write_shapes
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to enlarge.

    Attributes:
        images: an image file, or a folder of them.
        weights: SRCNN's .mat file; None for random ones, to see that it runs.
        factor: how many times; the published weights are of three.
        measure: make the images smaller first, and measure what comes back.
        workdir: where pictures and summary.json go.
    """

    images: Annotated[Path | None, tyro.conf.Positional] = None
    weights: Path | None = None
    factor: int = 3
    measure: bool = True
    workdir: Path = Path("runs/enlarge")


def smoke() -> Config:
    """Colored shapes, made on the spot, and random weights."""
    folder = write_shapes(np.random.default_rng(0), Path("runs/smoke/shapes"), 1)
    return Config(folder / "images", workdir=Path("runs/smoke/enlarge"))


def save(path: Path, gray: np.ndarray) -> None:
    """Write luminance from 0 to 1 as an image."""
    from PIL import Image

    Image.fromarray(np.uint8(np.round(255 * gray))).save(path)


def main(config: Config) -> dict[str, Any]:
    """Enlarge, draw, and return the mean PSNR."""
    if config.images is None:
        raise JaxnetsError("no image given: enlarge IMAGES --weights 9-5-5_x3.mat")
    if config.factor < 2:
        raise JaxnetsError(f"--factor must be at least 2, got {config.factor}")
    paths = list_images(config.images) if config.images.is_dir() else [config.images]
    if not paths:
        raise JaxnetsError(f"{config.images}: there are no images")
    if config.weights is None:
        network: Any = create_model("srcnn_9_1_5", padding="edge")
        variables = network.init(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    else:
        network, variables = load_srcnn(config.weights)
    workdir, apply = write_settings(config), jax.jit(network.apply)
    rows, border = [], (slice(config.factor, -config.factor),) * 2
    for path in paths:
        true = luminance(read_image(path))
        height, width = (n // config.factor * config.factor for n in true.shape)
        low = true
        if config.measure:
            if min(height, width) <= 2 * config.factor:
                raise JaxnetsError(f"{path}: {true.shape} pixels are too few to be measured")
            true = true[:height, :width]
            size = (height // config.factor, width // config.factor)
            low = to_gray_levels(bicubic(true, size))
        size = (low.shape[0] * config.factor, low.shape[1] * config.factor)
        plain = to_gray_levels(bicubic(low, size))
        sharp = apply(variables, np.float32(plain)[None, ..., None])[0, ..., 0]
        sharp = to_gray_levels(np.asarray(sharp))
        save(workdir / f"{path.stem}_bicubic.png", plain)
        save(workdir / f"{path.stem}_srcnn.png", sharp)
        if config.measure:
            pairs = {"bicubic": plain, "srcnn": sharp}
            wanted = true[border][..., None]
            row = {
                name: float(psnr(made[border][..., None], wanted, data_range=1.0))
                for name, made in pairs.items()
            }
            rows.append(row)
            print(f"{path.name:24} bicubic {row['bicubic']:.3f} dB, SRCNN {row['srcnn']:.3f} dB")
    result: dict[str, Any] = {"images": len(paths), "rows": rows}
    if rows:
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        print(f"{'mean':24} bicubic {means['bicubic']:.3f} dB, SRCNN {means['srcnn']:.3f} dB")
        result |= means
    write_json(workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
