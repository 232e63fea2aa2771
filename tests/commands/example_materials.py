"""What the examples of help texts name: small sets, sounds, videos and runs, made on the spot."""

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import save


def zeros(name: str, image_size: int, path: Path) -> None:
    """A file of published weights' form, all of them 0."""
    shapes = abstract_variables(create_model(name), (image_size, image_size, 3))
    save(name, jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes), path)


def finished_run(module: str, **options) -> None:
    """The entry's smoke configuration, trained where the entry looks for a run by default."""
    entry = importlib.import_module(module)
    where = {"workdir": entry.Config().workdir, **options}
    if not where["workdir"].exists():
        entry.main(replace(entry.smoke(), **where))


def shapes(words: list[str]) -> dict[str, str]:
    """Pictures of colored shapes, detectors of them, published and of darknet."""
    from jaxnets.study.synthetic_objects import write_darknet, write_shapes

    folder = Path("shapes")
    cfg, weights = write_darknet(np.random.default_rng(0), folder)
    write_shapes(np.random.default_rng(0), folder, 4)
    images = folder / "images"
    if "runs/train_detector" in words:
        finished_run("experiments.detection.train_detector")
    if "ssd300.pth" in words and not Path("ssd300.pth").exists():
        zeros("ssd300_vgg16", 300, Path("ssd300.safetensors"))
        shutil.move("ssd300.safetensors", "ssd300.pth")
    found = {"IMAGE": str(images / "test0.png"), "bccd": str(folder), "FOLDER": str(folder)}
    found["pennfudan"] = str(folder)
    if "traffic" in words:
        from jaxnets.study.synthetic_traffic import write_traffic

        found["traffic"] = str(write_traffic(np.random.default_rng(0), Path("traffic"), 4))
    if "VIDEO" in words:
        from jaxnets.data.video import write_video
        from jaxnets.study.moving_target import moving_target

        film, _ = moving_target(np.random.default_rng(0), 70)
        found["VIDEO"] = str(write_video("target.mp4", film, fps=25))
    if "people" in words:
        from jaxnets.study.stick_figures import write_people

        found["people"] = str(write_people(np.random.default_rng(0), Path("people"), 4))
    if "ssd300.pth" in words:
        few = Path("few")
        few.mkdir(exist_ok=True)
        shutil.copy(images / "test0.png", few)
        found["FOLDER"] = str(few)
    return {**found, "yolo.cfg": str(cfg), "yolo.weights": str(weights)}


def squares(words: list[str]) -> dict[str, str]:
    """Pictures of two classes; of CamVid as well."""
    from experiments.segmentation.train_segmenter import write_squares

    folder = str(write_squares(Path("squares")))
    return {"FOLDER": folder, "camvid": folder, "road": "dark", "sky": "bright"}


def pictures_to_enlarge(words: list[str]) -> dict[str, str]:
    """A picture, and SRCNN's weights as MATLAB stores them."""
    from PIL import Image
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    sizes = {"1": (81, 64), "2": (64, 25, 32), "3": (32, 25)}
    stored = {f"weights_conv{n}": rng.normal(0, 0.01, size) for n, size in sizes.items()}
    for layer, channels in (("1", 64), ("2", 32), ("3", 1)):
        stored[f"biases_conv{layer}"] = np.zeros((channels, 1))
    savemat("9-5-5_x3.mat", stored)
    folder = Path("to_enlarge")
    folder.mkdir(exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (36, 36, 3), dtype=np.uint8)).save(folder / "a.png")
    return {"IMAGES": str(folder), "IMAGE": str(folder / "a.png")}


def sentences(words: list[str]) -> dict[str, str]:
    """Number words as Multi30k and as a pair of files; a translator of them."""
    from jaxnets.data.text import number_words

    source, target = number_words(400)
    parts = {"train": (0, 280), "val": (280, 340), "test_2016_flickr": (340, 400)}
    folder = Path("multi30k")
    folder.mkdir(exist_ok=True)
    for name, (first, last) in parts.items():
        for language, lines in (("de", source), ("en", target)):
            text = "".join(f"{line}\n" for line in lines[first:last])
            (folder / f"{name}.lc.norm.tok.{language}").write_text(text, encoding="utf-8")
    for language, lines in (("de", source), ("en", target)):
        text = "".join(f"{line}\n" for line in lines)
        Path(f"train.{language}").write_text(text, encoding="utf-8")
    if "--input" in words:
        finished_run("experiments.sequence.translate")
    return {"multi30k_ende.tar.gz": str(folder)}


def sounds(words: list[str]) -> dict[str, str]:
    """Tones as the Free Spoken Digit Dataset, and one of them as a recording."""
    import soundfile

    from jaxnets.data.sound import tone_digits

    digits = tone_digits()
    soundfile.write("fsdd.flac", np.concatenate(digits.waves), 8000)
    lengths = [len(wave) for wave in digits.waves]
    index = np.where(digits.test, 0, 5)
    np.savez(
        "fsdd_meta.npz", label=digits.digits, speaker=digits.speakers, index=index, length=lengths
    )
    soundfile.write("recording.wav", digits.waves[0], 8000)
    if "--input" in words:
        finished_run("experiments.sequence.spell")
    return {}


GRID = """<?xml version="1.0"?>
<map name="Grid" xplus="90" xminus="270" yminus="0" yplus="180">
<node x="3" y="5" item="" /><node x="3" y="6" item="sofa" /><node x="4" y="6" item="" />
<edge node1="3,5" node2="3,6" wall="fish" floor="blue" />
<edge node1="3,6" node2="4,6" wall="tower" floor="grass" />
</map>
"""
WALK = """Cleaned-KXP_{map}0_4_2_Dirs_{number}
y=5\tmap={map}\tx=3
turn around and go to the sofa
LEFT(3,5,0);LEFT(3,5,270);FORWARD(3,5,180);(3, 6, 180)

"""


def instructions(words: list[str]) -> dict[str, str]:
    """Three maps with a few sentences each, as SAIL's; walkers of them."""
    folder = Path("sail")
    folder.mkdir(exist_ok=True)
    for name in ("grid", "jelly", "l"):
        (folder / f"map-{name}.xml").write_text(GRID)
        walks = "".join(WALK.format(map=name, number=number) for number in range(12))
        (folder / f"{name}.settrc").write_text(walks)
    if "--input" in words:
        finished_run("experiments.sequence.walk", dataset=folder)
    return {"sail.tar.gz": str(folder)}


def questions(words: list[str]) -> dict[str, str]:
    """Drawn pictures as easy-VQA and as files of the VQA challenge; one of them as a picture."""
    from PIL import Image

    from jaxnets.data.questions import drawn_questions

    folder, challenge = Path("easy_vqa"), Path("train2014")
    for path in (folder, challenge):
        path.mkdir(exist_ok=True)
    asked = drawn_questions(16)
    arrays = {"images": asked.pictures, "image_id": asked.picture, "question": asked.texts}
    for split in ("train", "test"):
        answers = [people[0] for people in asked.answers]
        np.savez(folder / f"easy_vqa_{split}.npz", answer=answers, **arrays)
    for number, picture in enumerate(asked.pictures):
        Image.fromarray(picture).save(challenge / f"COCO_train2014_{number:012d}.png")
    Image.fromarray(asked.pictures[0]).save("picture.png")
    entries: dict[str, list] = {"questions": [], "annotations": []}
    for number, (picture, text) in enumerate(zip(asked.picture, asked.texts, strict=True)):
        question = {"question_id": number, "image_id": int(picture), "question": text}
        said = [{"answer": asked.answers[number][0]}] * 10
        entries["questions"].append(question)
        entries["annotations"].append({"question_id": number, "answers": said})
    for key, found in entries.items():
        Path(f"{key}.json").write_text(json.dumps({key: found}))
    if "--input" in words:
        finished_run("experiments.sequence.answer")
    return {}


def photographs(words: list[str]) -> dict[str, str]:
    """A few pictures with captions, as Flickr8k; a network that describes them."""
    from PIL import Image

    rng, folder = np.random.default_rng(0), Path("flickr8k")
    folder.mkdir(exist_ok=True)
    captions, splits = "", ""
    for number, split in enumerate(("train", "train", "train", "train", "dev", "test")):
        name = f"{number}_photo.jpg"
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
        captions += "".join(f"{name}#{n}\tA dog runs in the snow .\n" for n in range(5))
        splits += f"{name}\t{split}\n"
    (folder / "captions.txt").write_text(captions)
    (folder / "split.txt").write_text(splits)
    weights = Path("compressed_SqueezeNet.net")
    if "--input" in words and weights.exists():
        finished_run("experiments.sequence.caption", dataset=folder, weights=weights)
    return {"flickr8k_1000.tar.gz": str(folder)}


def people(words: list[str]) -> dict[str, str]:
    """Leeds' poses and COCO's people, as few as can be; a network for poses."""
    from PIL import Image

    for name in ("a", "b", "c", "d"):
        path = Path("lspet14", "images", f"{name}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (90, 60, 30)).save(path)
    points = np.random.default_rng(0).uniform(4, 28, (4, 14, 2))
    test = np.array([False, False, False, True])
    np.savez("lspet14/joints.npz", name=[f"{n}.png" for n in "abcd"], joints=points, test=test)
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for number in range(4):
        file = f"lspet14/images/{'abcd'[number]}.png"
        content["images"].append({"id": number, "file_name": file, "width": 32, "height": 32})
        joints = [value for x, y in points[number].tolist() for value in (x, y, 2)]
        one = {"id": number, "image_id": number, "category_id": 1, "bbox": [2, 2, 28, 28]}
        content["annotations"].append({**one, "area": 784, "keypoints": joints})
    Path("people.json").write_text(json.dumps(content))
    if "--input" in words:
        finished_run("experiments.pose.train_pose")
    return {}


def letters(words: list[str]) -> dict[str, str]:
    """A text."""
    Path("text.txt").write_text("to be or not to be, that is the question\n" * 40)
    return {"FILE": "text.txt"}


def films(words: list[str]) -> dict[str, str]:
    """Videos of two classes, silhouettes, features of videos with their actions, people in them."""
    from jaxnets.data.video import write_video

    rng = np.random.default_rng(0)
    for label in ("run", "walk"):
        for number in range(5):
            path = Path("videos", label, f"{number}.mp4")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_video(path, rng.integers(0, 256, (12, 32, 48, 3)).astype(np.uint8), fps=10)
    masks = np.zeros((80, 144, 180), np.uint8)
    masks[:, 40:100, 80:100] = 1
    people, actions = ("daria", "ido"), ("run", "walk")
    about = [(person, action) for person in people for action in actions] * 2
    np.savez(
        "weizmann_masks.npz", bits=np.packbits(masks.reshape(80, -1), axis=1), shape=[144, 180],
        length=[10] * 8, person=[p for p, _ in about], action=[a for _, a in about],
    )  # fmt: skip
    features = Path("features")
    features.mkdir(exist_ok=True)
    database = {}
    for number in range(16):
        name = f"video{number}"
        np.save(features / f"{name}.npy", rng.normal(size=(40, 16)).astype(np.float32))
        subset = "training" if number < 10 else "validation"
        action = {"segment": [2, 5 + number % 3], "label": ("jump", "sit")[number % 2]}
        database[name] = {"duration": 10, "subset": subset, "annotations": [action]}
    Path("activities.json").write_text(json.dumps({"database": database}))
    if "--input" in words:
        finished_run("experiments.video.localize")
    if "RUN" in words:
        finished_run("experiments.video.train_actions")
    return people_in_films() | {
        "VIDEO": str(Path("videos", "run", "0.mp4")),
        "folder:VIDEOS": "folder:videos",
        "weizmann:weizmann_masks.npz": "weizmann:weizmann_masks.npz",
        "activitynet:FILE.json": "activitynet:activities.json",
        "FOLDER": str(features),
        "FILE.npy": str(features / "video0.npy"),
    }


def people_in_films() -> dict[str, str]:
    """A folder in AVA's form, and the boxes of one video."""
    folder = Path("ava")
    shutil.copytree(Path("videos", "run"), folder / "videos", dirs_exist_ok=True)
    lines = [f"{n},1,0.1,0.1,0.{5 + n % 3},0.9,{1 + n % 2},0\n" for n in range(5)]
    for split in ("train", "val"):
        (folder / f"{split}.csv").write_text("".join(lines))
    (folder / "actions.txt").write_text("run\nwave\n")
    Path("boxes.json").write_text('[{"second": 1, "box": [0.1, 0.1, 0.6, 0.9]}]')
    boxes = str(folder / "val.csv")
    run = str(Path("runs", "train_actions"))
    return {
        **{"RUN": run, "BOXES.csv": boxes, "VAL.csv": boxes, "FILE.json": "boxes.json"},
        "ava:FOLDER": f"ava:{folder}",
    }


# Module, or the beginning of its name → what makes its materials.
MAKERS: dict[str, Callable[[list[str]], dict[str, str]]] = {
    "experiments.detection": shapes,
    "experiments.segmentation": squares,
    "experiments.pose": people,
    "experiments.super_resolution": pictures_to_enlarge,
    "experiments.sequence.translate": sentences,
    "experiments.sequence.spell": sounds,
    "experiments.sequence.walk": instructions,
    "experiments.sequence.answer": questions,
    "experiments.sequence.caption": photographs,
    "experiments.sequence.bake_off": letters,
    "experiments.search.search_cell": letters,
    "experiments.video": films,
}


def make_materials(module: str, words: list[str]) -> list[str]:
    """Make what an entry's example names, in the current folder.

    Args:
        module: of the entry.
        words: of the example.

    Returns:
        the words, with the files that were made in place of what was named.
    """
    for beginning, make in MAKERS.items():
        if module.startswith(beginning):
            made = make(words)
            return [made.get(word, word) for word in words]
    return words
