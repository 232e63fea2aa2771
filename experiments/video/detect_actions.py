"""Say what each person of a video does: draws boxes and actions, or prints them as JSON.

Command:  python -m experiments.video.detect_actions VIDEO --weights RUN --boxes BOXES.csv
          python -m experiments.video.detect_actions VIDEO --weights RUN --boxes FILE.json --json
          python -m experiments.video.detect_actions VIDEO --weights RUN --truth VAL.csv
Time:     seconds for each moment on two CPU cores with a published network.
Result:   runs/detect_actions/: VIDEO.mp4 with boxes and actions, VIDEO.csv of AVA's form, and
          summary.json; with --truth AVA's frame mAP at an IoU of .5.

People are those of --boxes (AVA's csv, or JSON with "second" and "box", corners in 0 … 1), those
that --detector finds every --every seconds, or those of --truth. RUN is of train_actions; for
PySlowFast's weights: --weights FILE.pyth --model ava_slowfast_8x8_r50 --classes LIST.pbtxt, and for
a detector of people: --detector FILE --detector-model ssd300_vgg16.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxnets import command
from jaxnets.data.video import read_action_names, read_ava, read_video
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import ava_average_precision
from jaxnets.tasks import read_action_finder, read_detector
from jaxnets.tasks.action_films import draw_actions, find_people, read_boxes, write_ava
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to look at, and with which networks.

    Attributes:
        video: a file.
        weights: a run's directory, or with ``model`` a file of PySlowFast's weights.
        model: of a file of weights: ava_slow_4x16_r50, ava_slowfast_8x8_r50 or …_r101.
        classes: the actions' names: AVA's .pbtxt, or a name a line.
        boxes: the people, as csv or JSON.
        detector, detector_model: of people: a run's directory, or weights with their network.
        person_class, person_score: of the detector: its class of people, and the least score.
        every: seconds between the moments that the detector looks at.
        start: the second of the files' rows at which the video begins.
        truth: AVA's csv of who does what, to measure with.
        min_score: actions that are less certain are not shown.
        json: print JSON, and draw nothing.
        workdir: where the film, the csv and summary.json go.
    """

    video: Annotated[Path | None, tyro.conf.Positional] = None
    weights: Path | None = None
    model: str | None = None
    classes: Path | None = None
    boxes: Path | None = None
    detector: Path | None = None
    detector_model: str | None = None
    person_class: str = "person"
    person_score: float = 0.8
    every: float = 1.0
    start: float = 0.0
    truth: Path | None = None
    min_score: float = 0.5
    json: bool = False
    workdir: Path = Path("runs/detect_actions")


def people_of(config: Config, video) -> list[dict[str, Any]]:
    """Rows with "second" and "box", from wherever the people are."""
    if config.boxes is not None:
        return read_boxes(config.boxes, config.video.stem)
    if config.detector is not None:
        detector = read_detector(config.detector, model=config.detector_model)
        seconds = np.arange(0, video.times[-1] + 1e-6, config.every)
        label, least = config.person_class, config.person_score
        rows = find_people(detector, video, seconds, label=label, min_score=least)
        return [{**row, "second": row["second"] + config.start} for row in rows]
    if config.truth is not None:
        return read_boxes(config.truth, config.video.stem)
    raise JaxnetsError("give the people: --boxes FILE, --detector WEIGHTS or --truth FILE")


def main(config: Config) -> dict[str, Any]:
    """Find out what people do; draw or print it, and return it."""
    if config.video is None or config.weights is None:
        raise JaxnetsError(
            "give a video and weights: detect_actions VIDEO --weights RUN --boxes FILE"
        )
    if not config.every > 0:
        raise JaxnetsError(f"--every: expected seconds above 0, got {config.every}")
    names = None
    if config.classes is not None:
        named, most = read_action_names(config.classes)
        names = tuple(named.get(k, str(k)) for k in range(1, most + 1))
    finder = read_action_finder(config.weights, model=config.model, class_names=names)
    video = read_video(config.video)
    found = finder.find(video, people_of(config, video), start=config.start)
    shown = []
    for person in found:
        order = np.argsort(-person.scores, kind="stable")
        done = {
            finder.info.class_names[k]: round(float(person.scores[k]), 4)
            for k in order
            if person.scores[k] >= config.min_score
        }
        box = [round(float(value), 4) for value in person.box]
        shown.append({"second": float(person.second), "box": box, "actions": done})
    result: dict[str, Any] = {"video": str(config.video), "people": shown}
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_ava(config.workdir / f"{config.video.stem}.csv", config.video.stem, found)
    if config.truth is not None:
        name = config.video.stem
        truth = [row for row in read_ava(config.truth) if row["video"] == name]
        rows = [
            {"video": name, "second": p.second, "box": p.box, "action": k, "score": float(s)}
            for p in found
            for k, s in enumerate(p.scores, start=1)
        ]
        result["mAP"] = ava_average_precision(truth, rows)["mean_ap"]
    if config.json:
        print(json.dumps(result))
    else:
        for person in shown:
            said = ", ".join(f"{name} {100 * s:.0f} %" for name, s in person["actions"].items())
            print(f"{person['second']:8.2f} s  {person['box']}  {said or '–'}")
        film = config.workdir / f"{config.video.stem}.mp4"
        # Names are legible in pictures of 240 pixels or more.
        enlarge = -(-240 // min(video.frames.shape[1:3]))
        options = {"start": config.start, "min_score": config.min_score, "enlarge": enlarge}
        draw_actions(film, video, found, finder.info, **options)
        print(f"{film}" + (f": frame mAP {result['mAP']:.1%}" if "mAP" in result else ""))
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
