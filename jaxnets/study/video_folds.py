"""Leave one person out: every person of a data set is the test once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jaxnets.data.video import read_weizmann
from jaxnets.errors import JaxnetsError
from jaxnets.train.run_directory import write_json


def leave_one_person_out(
    dataset: str, workdir: Path, train_one: Callable[[str, Path], Mapping[str, Any]]
) -> dict[str, Any]:
    """Train once for each person, who is tested on, and count the right answers of all together.

    Args:
        dataset: "weizmann:FILE", see `jaxnets.study.video_sets.read_clips`.
        workdir: gets a run for each person, and summary.json.
        train_one: (person, directory of the run) → summary with "clip_accuracy", "clips",
            "video_accuracy" and "videos".

    Returns:
        "clip_accuracy" and "video_accuracy" over all persons, "clips" and "videos", their numbers,
        and "people", each one's summary.

    Raises:
        JaxnetsError: a data set without persons.

    >>> leave_one_person_out("motion", Path("runs/video"), lambda person, workdir: {})
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --held-out all takes --dataset weizmann:FILE, got 'motion'
    """
    kind, _, place = dataset.partition(":")
    if kind != "weizmann" or not place:
        raise JaxnetsError(f"--held-out all takes --dataset weizmann:FILE, got {dataset!r}")
    people = {}
    for person in read_weizmann(place).names:
        found = train_one(person, workdir / person)
        if "clip_accuracy" not in found:  # Stopped before its last step.
            return {"people": people | {person: dict(found)}}
        people[person] = dict(found)
    result: dict[str, Any] = {"people": people}
    for kind, number in (("clip", "clips"), ("video", "videos")):
        counts = [summary[number] for summary in people.values()]
        right = [summary[f"{kind}_accuracy"] * summary[number] for summary in people.values()]
        result |= {f"{kind}_accuracy": sum(right) / sum(counts), number: sum(counts)}
    shares = ", ".join(f"{k} {result[f'{k}_accuracy']:.1%}" for k in ("clip", "video"))
    print(f"all {len(people)} people in turn: {shares}")
    write_json(workdir / "summary.json", result)
    return result
