"""Lists of videos in the formats of their data sets: folders, Kinetics, UCF101, HMDB51, AVA,
ActivityNet.

Each reader says which rows name files that are not there.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.errors import JaxnetsError

SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".m4v")


class LabeledVideo(NamedTuple):
    """A video, or a part of one, with its class.

    Attributes:
        path: of the file.
        label: class number.
        start, end: seconds; None: from its beginning, to its end.

    >>> LabeledVideo(Path("a.mp4"), 3).end is None
    True
    """

    path: Path
    label: int
    start: float | None = None
    end: float | None = None


class VideoList(NamedTuple):
    """Videos and the names of their classes.

    Attributes:
        videos: `LabeledVideo`.
        classes: names by number.

    >>> VideoList((LabeledVideo(Path("a.mp4"), 0),), ("run",)).classes
    ('run',)
    """

    videos: tuple[LabeledVideo, ...]
    classes: tuple[str, ...]


def read_video_folder(folder: str | Path) -> VideoList:
    """A folder with one folder of video files for each class.

    Args:
        folder: ``folder/CLASS/FILE.mp4``.

    Returns:
        Classes and files in alphabetical order.

    Raises:
        JaxnetsError: no such folder, or no videos in it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("walk/a.mp4", "run/b.avi"):
    ...         Path(folder, name).parent.mkdir()
    ...         Path(folder, name).touch()
    ...     found = read_video_folder(folder)
    >>> found.classes, [video.label for video in found.videos]
    (('run', 'walk'), [0, 1])
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise JaxnetsError(f"{folder}: there is no such folder")
    places = sorted(p for p in folder.iterdir() if p.is_dir() and _videos_in(p))
    if not places:
        raise JaxnetsError(
            f"{folder}: expected a folder of videos ({', '.join(SUFFIXES)}) for each class, found "
            "none"
        )
    videos = [
        LabeledVideo(path, label)
        for label, place in enumerate(places)
        for path in _videos_in(place)
    ]
    return VideoList(tuple(videos), tuple(place.name for place in places))


def _videos_in(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def read_kinetics(
    path: str | Path,
    folder: str | Path,
    *,
    classes: Sequence[str] | None = None,
    skip_missing: bool = False,
    notify: Callable[[str], Any] = print,
) -> VideoList:
    """Kinetics' csv: ``label, youtube_id, time_start, time_end, split`` with a header.

    Files are named as the usual downloaders do, ID_000010_000020.mp4 or ID.mp4, in the folder or in
    one of the class in it; the part is the file.

    Args:
        path: the csv file.
        folder: where the videos are.
        classes: names by number; None: those in the file, sorted.
        skip_missing: leave out rows whose file is not there (on YouTube many are gone), and say how
            many.
        notify: called with that sentence.

    Returns:
        `VideoList`.

    Raises:
        JaxnetsError: missing columns or files (with rows), a class that is not among ``classes``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "abc_000010_000020.mp4").touch()
    ...     text = "label,youtube_id,time_start,time_end,split\\nyoga,abc,10,20,train\\n"
    ...     _ = Path(folder, "train.csv").write_text(text)
    ...     found = read_kinetics(Path(folder, "train.csv"), folder)
    >>> found.classes, found.videos[0].path.name
    (('yoga',), 'abc_000010_000020.mp4')
    """
    path, folder = Path(path), Path(folder)
    rows = _table(path, ("label", "youtube_id", "time_start", "time_end"))
    names = tuple(classes) if classes is not None else tuple(sorted({r["label"] for r in rows}))
    numbers = {name: number for number, name in enumerate(names)}
    found, missing = [], []
    for line, row in enumerate(rows, start=2):
        if row["label"] not in numbers:
            raise JaxnetsError(f"{path}, line {line}: the class {row['label']!r} is not known")
        start, end = (_number(path, line, row, key) for key in ("time_start", "time_end"))
        stem = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
        options = [
            place / f"{name}{suffix}"
            for place in (folder, folder / row["label"])
            for name in (stem, row["youtube_id"])
            for suffix in SUFFIXES
        ]
        file = next((option for option in options if option.is_file()), None)
        if file is None:
            missing.append((line, f"{stem}.mp4"))
        else:
            found.append(LabeledVideo(file, numbers[row["label"]]))
    _report_missing(path, missing, skip_missing, notify)
    return VideoList(tuple(found), names)


def read_ucf101(
    path: str | Path,
    folder: str | Path,
    *,
    class_file: str | Path,
    skip_missing: bool = False,
    notify: Callable[[str], Any] = print,
) -> VideoList:
    """A split of UCF101: ``trainlist01.txt`` or ``testlist01.txt`` with ``classInd.txt``.

    Args:
        path: lines "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", in training lists with a number
            behind it, which is not needed.
        folder: where the classes' folders are.
        class_file: lines "1 ApplyEyeMakeup"; classes are numbered from 0 here.
        skip_missing, notify: see `read_kinetics`.

    Returns:
        `VideoList`.

    Raises:
        JaxnetsError: rows of another form, unknown classes, missing files.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "Yoga").mkdir()
    ...     _ = Path(folder, "Yoga", "v.avi").touch()
    ...     _ = Path(folder, "classInd.txt").write_text("1 Archery\\n2 Yoga\\n")
    ...     _ = Path(folder, "list.txt").write_text("Yoga/v.avi 2\\n")
    ...     found = read_ucf101(
    ...         Path(folder, "list.txt"), folder, class_file=Path(folder, "classInd.txt")
    ...     )
    >>> found.videos[0].label
    1
    """
    path, folder = Path(path), Path(folder)
    names = tuple(line.split()[1] for line in _lines(Path(class_file)))
    found, missing = [], []
    for line, text in enumerate(_lines(path), start=1):
        name = text.split()[0]
        label = name.split("/")[0]
        if label not in names:
            raise JaxnetsError(f"{path}, line {line}: the class {label!r} is not in {class_file}")
        file = folder / name
        if file.is_file():
            found.append(LabeledVideo(file, names.index(label)))
        else:
            missing.append((line, name))
    _report_missing(path, missing, skip_missing, notify)
    return VideoList(tuple(found), names)


def read_hmdb51(
    split_folder: str | Path,
    folder: str | Path,
    *,
    split: int = 1,
    skip_missing: bool = False,
    notify: Callable[[str], Any] = print,
) -> dict[str, VideoList]:
    """A split of HMDB51: files ``CLASS_test_split1.txt`` with lines "FILE.avi 1".

    Args:
        split_folder: where these files are.
        folder: where the classes' folders are.
        split: 1, 2 or 3.
        skip_missing, notify: see `read_kinetics`.

    Returns:
        "train" (marked 1) and "test" (2); 0 is in neither.

    Raises:
        JaxnetsError: no files of the split, rows of another form, missing videos.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "wave").mkdir()
    ...     _ = Path(folder, "wave", "a.avi").touch()
    ...     _ = Path(folder, "wave_test_split1.txt").write_text("a.avi 2\\n")
    ...     found = read_hmdb51(folder, folder)
    >>> len(found["train"].videos), len(found["test"].videos)
    (0, 1)
    """
    folder, ending = Path(folder), f"_test_split{split}.txt"
    files = sorted(Path(split_folder).glob(f"*{ending}"))
    if not files:
        raise JaxnetsError(f"{split_folder}: there is no file CLASS{ending}")
    names = tuple(file.name.removesuffix(ending) for file in files)
    found: dict[str, list[LabeledVideo]] = {"train": [], "test": []}
    for label, file in enumerate(files):
        missing = []
        for line, text in enumerate(_lines(file), start=1):
            name, _, mark = text.rpartition(" ")
            name = name.strip()
            if mark not in ("0", "1", "2") or not name:
                raise JaxnetsError(f"{file}, line {line}: expected 'FILE 0|1|2', got {text!r}")
            if mark == "0":
                continue
            video = folder / names[label] / name
            if video.is_file():
                found["train" if mark == "1" else "test"].append(LabeledVideo(video, label))
            else:
                missing.append((line, name))
        _report_missing(file, missing, skip_missing, notify)
    return {part: VideoList(tuple(videos), names) for part, videos in found.items()}


def read_activitynet(path: str | Path) -> dict[str, dict[str, Any]]:
    """ActivityNet's annotations: what happens when in each video.

    Args:
        path: a JSON file {"database": {ID: {"subset", "duration", "annotations": [{"segment",
            "label"}]}}}, or that inner dictionary alone.

    Returns:
        ID → {"duration", "subset", "segments": [(start, end, label), …]}; a leading "v_" of the ID
        is left out.

    Raises:
        JaxnetsError: not such a file, or a segment that ends before it starts.

    >>> import tempfile
    >>> text = '{"v_a": {"duration": 9, "annotations": [{"segment": [1, 2], "label": "jump"}]}}'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "gt.json")
    ...     _ = path.write_text(text)
    ...     read_activitynet(path)["a"]["segments"]
    [(1.0, 2.0, 'jump')]
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text())
        videos = data.get("database", data)
        found = {}
        for name, about in videos.items():
            segments = [
                (float(a["segment"][0]), float(a["segment"][1]), str(a["label"]))
                for a in about.get("annotations", [])
            ]
            for start, end, label in segments:
                if end < start:
                    raise JaxnetsError(f"{path}: {name}: {label!r} ends at {end}, before {start}")
            found[name.removeprefix("v_")] = {
                "duration": float(about.get("duration", 0)),
                "subset": str(about.get("subset", "")),
                "segments": segments,
            }
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, JaxnetsError):
            raise
        raise JaxnetsError(f"{path}: is no ActivityNet annotation ({error!r})") from None
    return found


def read_ava(path: str | Path, *, scored: bool = False) -> list[dict[str, Any]]:
    """AVA's csv: who does what at which second.

    Args:
        path: lines ``video, second, x1, y1, x2, y2, action[, person]`` with corners in 0 … 1.
        scored: of detections, whose last column is the score.

    Returns:
        One dict a line: "video", "second", "box" (4 floats), "action" (int; None on a line with
        nobody), and "person" (int or None) or "score".

    Raises:
        JaxnetsError: lines of another form, with their number.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "ava.csv")
    ...     _ = path.write_text("abc,0902,0.1,0.2,0.5,0.9,12,0\\n")
    ...     read_ava(path)
    [{'video': 'abc', 'second': 902, 'box': (0.1, 0.2, 0.5, 0.9), 'action': 12, 'person': 0}]
    """
    path, found = Path(path), []
    for line, text in enumerate(_lines(path), start=1):
        cells = [cell.strip() for cell in text.split(",")]
        try:
            empty = len(cells) == 2 or not any(cells[2:])
            box = () if empty else tuple(float(c) for c in cells[2:6])
            row: dict[str, Any] = {"video": cells[0], "second": int(cells[1]), "box": box}
            row["action"] = None if empty else int(cells[6])
            last = cells[7] if len(cells) > 7 else ""
            if scored:
                row["score"] = float(last)
            else:
                row["person"] = int(last) if last else None
        except (ValueError, IndexError):
            wanted = "video,second,x1,y1,x2,y2,action," + ("score" if scored else "person")
            raise JaxnetsError(f"{path}, line {line}: expected {wanted}, got {text!r}") from None
        found.append(row)
    return found


def _table(path: Path, columns: Sequence[str]) -> list[Mapping[str, str]]:
    lines = _lines(path)
    rows = list(csv.DictReader(lines))
    there = set(rows[0]) if rows else set()
    if lacking := [c for c in columns if c not in there]:
        raise JaxnetsError(f"{path}: expected columns {', '.join(columns)}; {lacking} are missing")
    return rows


def _number(path: Path, line: int, row: Mapping[str, str], key: str) -> float:
    try:
        return float(row[key])
    except (TypeError, ValueError):
        raise JaxnetsError(f"{path}, line {line}: {key} is no number: {row[key]!r}") from None


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise JaxnetsError(f"{path}: cannot be read ({error})") from None


def _report_missing(path, missing, skip: bool, notify) -> None:
    if not missing:
        return
    shown = "; ".join(f"line {line}: {name}" for line, name in missing[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    sentence = f"{path}: {len(missing)} rows name files that are not there: {shown}{more}"
    if not skip:
        raise JaxnetsError(f"{sentence}. skip_missing=True leaves them out")
    notify(f"{sentence}; they are left out")
