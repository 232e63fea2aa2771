"""Explain what a network says of one picture: class map, occlusion, deconvnet, saliency.

Command:  python -m experiments.interpret.explain photo.jpg --weights compressed_SqueezeNet.net
          python -m experiments.interpret.explain photo.jpg --weights resnet20-12fca82f.th \
              --model resnet20
          python -m experiments.interpret.explain photo.jpg --weights RUN
Time:     half a minute on two CPU cores for SqueezeNet at 227×227 pixels, most of it compilation.
Result:   runs/explain/: explain.png, one sheet with all maps; summary.json with the five most
          probable classes and the box around what was recognized.

RUN is the directory of a run of experiments.train_classifier. Without --weights the network has
random weights, which shows that its maps then show nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from jaxnets import command
from jaxnets.data import read_image
from jaxnets.errors import JaxnetsError
from jaxnets.interpret.explain import explain_picture
from jaxnets.interpret.subject import load_subject
from jaxnets.study.figures import save_figure
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to explain.

    Attributes:
        image: an image file, any format that Pillow reads; cropped around its center.
        weights: a run's directory, Deep Compression's SqueezeNet (.net), or another file of
            weights.
        model: the network's name, where the weights do not say it.
        target: number of the class to explain (default: the predicted one).
        layer: for Grad-CAM, the deconvnet and the activation under occlusion (default: the last
            map).
        occluder: side of the occluding square, in pixels (default: a quarter of the image).
        stride: pixels between its places (default: a fourteenth of the image).
        samples: noisy images of SmoothGrad.
        workdir: where the results go.
    """

    image: Annotated[Path | None, tyro.conf.Positional] = None
    weights: Path | None = None
    model: str | None = None
    target: int | None = None
    layer: str | None = None
    occluder: int | None = None
    stride: int | None = None
    samples: int = 8
    workdir: Path = Path("runs/explain")


def smoke() -> Config:
    """A photograph that scikit-learn brings along, by a network with random weights."""
    import sklearn.datasets

    photo = Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg"
    small = {"occluder": 16, "stride": 16, "samples": 1}
    return Config(photo, model="lenet5", **small, workdir=Path("runs/smoke/explain"))


def main(config: Config) -> dict[str, Any]:
    """Explain, draw, and return the predictions and the box."""
    if config.image is None:
        raise JaxnetsError("no image given: python -m experiments.interpret.explain IMAGE")
    subject = load_subject(config.weights, config.model)
    image = read_image(config.image, subject.side, subject.channels)
    if config.target is not None and not 0 <= config.target < len(subject.class_names):
        raise JaxnetsError(
            f"--target must lie in 0 … {len(subject.class_names) - 1}, got {config.target}"
        )
    if config.occluder is not None and not 0 < config.occluder <= subject.side:
        raise JaxnetsError(
            f"--occluder must lie in 1 … {subject.side}, the image's side, got {config.occluder}"
        )
    workdir = write_settings(config)
    found = explain_picture(
        subject,
        image,
        target=config.target,
        layer=config.layer,
        size=config.occluder,
        stride=config.stride,
        samples=config.samples,
    )
    summary = {
        "image": str(config.image),
        "predictions": [list(row) for row in found.predictions],
        "explained": subject.class_names[found.target],
        "map": found.heat_name,
        "box": found.box.tolist(),
        "occlusion": {
            "least_probability": float(found.occlusion.probability.min()),
            "labels": sorted({int(v) for v in found.occlusion.label.ravel()}),
        },
    }
    save_figure(found.figure, workdir / "explain.png")
    write_json(workdir / "summary.json", json_values(summary))
    for name, probability in found.predictions:
        print(f"  {100 * probability:6.2f} %  {name}")
    print(f"{workdir}: explain.png, summary.json")
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
