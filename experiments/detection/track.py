"""Follow one thing through a film: a box in the first frame says what.

Command:  python -m experiments.detection.track VIDEO --box 40 30 64 48
          python -m experiments.detection.track VIDEO --box 40 30 64 48 --start 2.5 --json
          python -m experiments.detection.track
Time:     a tenth of a second a frame on two CPU cores, after half a minute of learning and
          compilation.
Result:   runs/track/: VIDEO.mp4 with the box, and summary.json with the box, score and number of
          particles that count of every frame. Without a video a textured patch wanders over a
          textured ground, and the success AUC is said, of the box that stays where it was, too.

The box is x, y of its upper left corner, width and height, in pixels. Nothing but the film is
learned from.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from jaxnets import command
from jaxnets.data.video import read_video, write_video
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import success_curve
from jaxnets.study.moving_target import moving_target
from jaxnets.study.object_pictures import draw_objects
from jaxnets.tasks.tracker import TrackerOptions
from jaxnets.tasks.tracking import track
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to follow, and how.

    Attributes:
        video: a file; without one a film is made.
        box: x, y, width and height in the first frame, in pixels.
        start: the second of the film at which the box is.
        max_frames: no more than so many.
        options: what decides how well it is followed.
        seed: of everything random.
        json: print JSON instead of lines.
        workdir: where the film and summary.json go.
    """

    video: Annotated[Path | None, tyro.conf.Positional] = None
    box: tuple[float, float, float, float] | None = None
    start: float = 0.0
    max_frames: int | None = None
    options: TrackerOptions = field(default_factory=TrackerOptions)
    seed: int = 0
    json: bool = False
    workdir: Path = Path("runs/track")


def smoke() -> Config:
    """A few frames of the film that is made, and a tiny network."""
    options = TrackerOptions(30, 8, (16, 8), first_steps=2, steps=1, pretraining=2)
    return Config(max_frames=4, options=options, workdir=Path("runs/smoke/track"))


def main(config: Config) -> dict[str, Any]:
    """Follow the box; writes the film and returns what summary.json holds."""
    true = None
    if config.video is None:
        count = config.max_frames or 60
        frames, true = moving_target(np.random.default_rng(config.seed), count)
        times, name, corners = np.arange(count) / 25, "target", tuple(true[0].tolist())
    else:
        if config.box is None:
            raise JaxnetsError("give the first frame's box: track VIDEO --box X Y WIDTH HEIGHT")
        video = read_video(config.video)
        kept = np.flatnonzero(video.times >= config.start)[: config.max_frames]
        if len(kept) == 0:
            raise JaxnetsError(
                f"--start: got {config.start}; the video has {video.times[-1]:.2f} seconds"
            )
        frames, times, name = video.frames[kept], video.times[kept], config.video.stem
        x, y, width, height = config.box
        corners = (x, y, x + width, y + height)
    found = track(frames, corners, config.options, seed=config.seed)
    rows = []
    for time, box, score, effective in zip(times, *found[:3], strict=True):
        x1, y1, x2, y2 = (round(float(value), 2) for value in box)
        row = {"second": round(float(time), 3), "box": [x1, y1, x2 - x1, y2 - y1]}
        rows.append(row | {"score": round(float(score), 4), "particles": float(effective)})
    result: dict[str, Any] = {"video": str(config.video or "made"), "frames": rows}
    if true is not None:
        result["success_auc"] = success_curve(found.boxes, true)[1]
        result["success_auc_of_the_first_box"] = success_curve(
            np.tile(found.boxes[:1], (len(true), 1)), true
        )[1]
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", result)
    if config.json:
        print(json.dumps(result))
    fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 25.0
    drawn = [
        draw_objects(frame, box[None], [""], score[None])
        for frame, box, score in zip(frames, found.boxes, found.scores, strict=True)
    ]
    film = write_video(config.workdir / f"{name}.mp4", np.stack(drawn), fps=fps)
    if not config.json:
        print(f"{film}: {len(rows)} frames, {int(found.learned.sum())} of them learned from")
        for key in ("success_auc", "success_auc_of_the_first_box"):
            if key in result:
                print(f"{key}: {result[key]:.3f}")
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
