"""Compare detectors: size, arithmetic, and the time of the network and of what follows, apart.

Command:  python -m experiments.detection.compare_detectors
          python -m experiments.detection.compare_detectors --models fastestdet ssd_slim_face \\
              --batch 8
Time:     the default's nine detectors ten minutes on two CPU cores, half of it compilation.
Result:   runs/compare_detectors/: detectors.md (a row a detector), boxes.md (RoIAlign of 1,000
          regions, its gradient, suppression among 2,000 boxes and post-processing of 8 images), and
          summary.json. Scores favor the background, as those of a trained network do: on random
          ones post-processing would be another task.

Where torch and torchvision are installed, the same of theirs is timed in turn with ours, round by
round, in one process, on as many threads, channels-last. ± is the interquartile range over the
median. Detectors of two stages choose regions between their stages and are timed as a whole.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax

from jaxnets import command
from jaxnets.errors import UnknownNameError
from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.detection import ssd_detections, yolo_detections, yolo_v1_detections
from jaxnets.study import box_workloads
from jaxnets.study.detector_speed import detector_table, prepare_detector, prepare_torchvision
from jaxnets.study.programs import processor
from jaxnets.study.timing import time_calls
from jaxnets.tasks.detector_files import DARKNET, PUBLISHED
from jaxnets.train.run_directory import write_json

USUAL = (
    *("ssd300_vgg16", "ssdlite320_mobilenet_v3_large", "ssd300_mobilenet_v1", "yolov3_tiny"),
    *("fastestdet", "ssd_slim_face", "retinanet_resnet50_fpn", "fcos_resnet50_fpn"),
    "fasterrcnn_resnet50_fpn",
)


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        models: names of detectors, or "all".
        boxes: operations on boxes, of roi_align, roi_align_gradient, nms and postprocess.
        sizes: how much those have to do.
        batch: images at a time.
        image: height and width of the images; by default the published ones.
        rounds: how often ours and torchvision's take turns, at least.
        torch: time torchvision too, where it is installed.
        workdir: where the tables go.
    """

    models: tuple[str, ...] = USUAL
    boxes: tuple[str, ...] = box_workloads.CASES
    sizes: box_workloads.Sizes = field(default_factory=box_workloads.Sizes)
    batch: int = 1
    image: tuple[int, int] | None = None
    rounds: int = 5
    torch: bool = True
    workdir: Path = Path("runs/compare_detectors")


def smoke() -> Config:
    """The smallest detector on a small image, and few boxes, without torchvision."""
    sizes = box_workloads.Sizes(5, 4, 64, 30, 20, 3, 2)
    where = Path("runs/smoke/compare_detectors")
    return Config(("ssd_slim_face",), ("nms",), sizes, 1, (64, 64), 1, False, where)


def detections_of(name: str) -> Callable[[Any], Any]:
    """What makes boxes of a registered detector's outputs."""
    if name in DARKNET:
        return partial(yolo_detections, sections=create_model(name).sections)
    if name in PUBLISHED:
        return PUBLISHED[name].detections
    return yolo_v1_detections if name == "yolov1" else ssd_detections


def main(config: Config) -> dict[str, Any]:
    """Time, print, store; returns what summary.json holds."""
    known = list_models(task="detection")
    names = known if "all" in config.models else list(config.models)
    for given, all_of_them, kind in ((names, known, "detector"), (config.boxes,
                                     box_workloads.CASES, "operation")):  # fmt: skip
        for name in given:
            if name not in all_of_them:
                raise UnknownNameError(kind, name, all_of_them)
    config.workdir.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        info, published = model_info(name), PUBLISHED.get(name)
        size = config.image or (published.size if published else None)
        ours, seen = prepare_detector(name, detections_of(name), batch=config.batch, size=size)
        calls = {("jaxnets", part): call for part, call in ours.items()}
        if config.torch and config.image is None:
            theirs = prepare_torchvision(name, seen, batch=config.batch)
            calls |= {("torchvision", part): call for part, call in theirs.items()}
        rows[name] = {"parameters": info.parameters, "macs": info.macs}
        rows[name] |= measured(calls, config.rounds)
        print(detector_table({name: rows[name]}).splitlines()[-1], flush=True)
    operations = {}
    for case in config.boxes:
        arrays = box_workloads.make_arrays(config.sizes, case)
        calls = {("jaxnets", case): box_workloads.ours(config.sizes, case, arrays)}
        if config.torch:
            with contextlib.suppress(ImportError):
                peer = box_workloads.theirs(config.sizes, case, arrays)
                calls[("torchvision", case)] = peer
        operations[case] = {k: v[case] for k, v in measured(calls, config.rounds).items()}
    summary = {
        "hardware": processor(),
        "jax": jax.__version__,
        "batch": config.batch,
        "detectors": rows,
        "operations": operations,
    }
    write_json(config.workdir / "summary.json", summary)
    (config.workdir / "detectors.md").write_text(detector_table(rows), encoding="utf-8")
    lines = ["| operation | library | ms | spread |", "|---|---|--:|--:|"]
    for case, found in operations.items():
        for library, (milliseconds, spread) in found.items():
            lines.append(f"| {case} | {library} | {milliseconds:.2f} | {100 * spread:.0f} % |")
    text = "\n".join(lines) + "\n"
    (config.workdir / "boxes.md").write_text(text, encoding="utf-8")
    print(text)
    return summary


def measured(calls: dict[tuple[str, str], Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Library → part → milliseconds and spread; all take turns."""
    named = {" ".join(key): call for key, call in calls.items()}
    # Blocks: PyTorch's threads spin for a while after a call, and slow what comes next.
    times = time_calls(named, rounds=rounds, block_seconds=0.05)
    found: dict[str, Any] = {}
    for library, part in calls:
        timing = times[f"{library} {part}"]
        found.setdefault(library, {})[part] = [timing.milliseconds, timing.spread]
    return found


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
