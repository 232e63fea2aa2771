"""Readers of annotated images: COCO, VOC, YOLO and label images give the same batches."""

import json

import numpy as np
import pytest
from PIL import Image

from jaxnets import data
from jaxnets.data.object_masks import object_mask
from jaxnets.errors import JaxnetsError

SIZES = {"a": (12, 20), "b": (16, 8), "c": (10, 10)}  # height, width
CLASSES = ("cat", "dog", "owl")
# Corners in continuous coordinates and the class; "c" has no objects.
OBJECTS = {
    "a": [((2, 3, 12, 9), 1), ((5, 0, 20, 12), 0), ((1, 1, 4, 4), 2)],
    "b": [((0, 4, 8, 10), 2)],
    "c": [],
}
IGNORED = ("a", 1)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    random = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}.png")
    return tmp_path


def polygon(corners):
    x1, y1, x2, y2 = corners
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def coco_content():
    annotations = []
    for number, (name, objects) in enumerate(OBJECTS.items()):
        for place, ((x1, y1, x2, y2), label) in enumerate(objects):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 + number,
                    "category_id": (3, 7, 90)[label],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1) / 2,
                    "iscrowd": int((name, place) == IGNORED),
                    "segmentation": [polygon((x1, y1, x2, y2))],
                    "keypoints": [x1, y1, 2, x2 - 1, y2 - 1, 1, 0, 0, 0],
                }
            )
    images = [
        {"id": 10 + i, "file_name": f"{n}.png", "height": h, "width": w}
        for i, (n, (h, w)) in enumerate(SIZES.items())
    ]
    categories = [
        {"id": i, "name": n, "keypoints": ["l", "r", "m"]}
        for i, n in zip((90, 3, 7), ("owl", "cat", "dog"), strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(folder, change=lambda content: None):
    content = coco_content()
    change(content)
    (folder / "train.json").write_text(json.dumps(content))
    return folder / "train.json"


def write_voc(folder):
    (folder / "Annotations").mkdir()
    for name, objects in OBJECTS.items():
        height, width = SIZES[name]
        parts = []
        for place, ((x1, y1, x2, y2), label) in enumerate(objects):
            difficult = int((name, place) == IGNORED)
            parts.append(
                f"<object><name>{CLASSES[label]}</name><difficult>{difficult}</difficult><bndbox>"
                f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
                "</bndbox></object>"
            )
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size>{''.join(parts)}</annotation>"
        )
    return folder / "Annotations"


def write_yolo(folder, polygons=False):
    (folder / "labels").mkdir()
    for name in ("a", "b"):  # "c" has no file
        height, width = SIZES[name]
        lines = []
        for (x1, y1, x2, y2), label in OBJECTS[name]:
            numbers = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]
            if polygons:
                numbers = polygon((x1, y1, x2, y2))
            shares = [v / (width, height)[i % 2] for i, v in enumerate(numbers)]
            lines.append(" ".join([str(label), *map(repr, shares)]))
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder / "labels"


def expected(size, ignored):
    """Boxes in a square canvas, and labels, of each image."""
    result = {}
    for name, objects in OBJECTS.items():
        height, width = SIZES[name]
        factor = size / max(height, width)
        factors = [round(width * factor) / width, round(height * factor) / height] * 2
        result[name] = [
            (np.float32(box) * np.float32(factors), label)
            for place, (box, label) in enumerate(objects)
            if ignored or (name, place) != IGNORED
        ]
    return result


def check(batch, size, ignored):
    for place, objects in enumerate(expected(size, ignored).values()):
        mask = batch["box_mask"][place] == 1
        np.testing.assert_allclose(
            batch["boxes"][place][mask],
            np.array([b for b, _ in objects]).reshape(-1, 4),
            atol=1e-5,
        )
        assert batch["box_label"][place][mask].tolist() == [label for _, label in objects]
        assert not batch["boxes"][place][~mask].any()


@pytest.mark.parametrize("ignored", [False, True])
def test_all_formats_give_the_same_objects(ignored, folder):
    rows = np.arange(3)
    coco = data.read_coco(write_coco(folder), size=20, ignored=ignored)
    voc = data.read_voc(
        write_voc(folder), folder / "images", size=20, classes=CLASSES, ignored=ignored
    )
    yolo = data.read_yolo(folder / "images", write_yolo(folder), CLASSES, size=20)
    for source in (coco, voc, yolo):
        assert isinstance(source, data.Source) and len(source) == 3
        assert source.class_names == CLASSES and source.info["num_classes"] == 3
        batch = source.take(rows)
        data.check_batch(batch)
        check(batch, 20, ignored or source is yolo)
        for key in ("image", "image_size"):
            np.testing.assert_array_equal(batch[key], coco.take(rows)[key])
    batch = coco.take(rows)
    assert batch["image"].shape == (3, 20, 20, 3) and batch["image_id"].tolist() == [10, 11, 12]
    assert batch["box_ignore"].sum() == float(ignored)
    assert batch["box_area"][1, 0] == 24 and batch["image_size"].tolist() == [
        *map(list, SIZES.values())
    ]
    # What does not belong to the image is 0, and its pixels are those of the file at this scale.
    assert not batch["image"][0, 12:].any() and batch["image"][0, :12].any()
    with Image.open(folder / "images" / "a.png") as file:
        np.testing.assert_array_equal(batch["image"][0, :12], np.asarray(file))


def test_batches_of_objects_are_shuffled_and_padded_to_a_choice(folder):
    source = data.read_coco(write_coco(folder), size=(16, 24), max_objects=5, ignored=True)
    batches = data.Batches(source, 2, seed=0)
    batch = batches[0]
    assert batch["boxes"].shape == (2, 5, 4) and batch["image"].shape == (2, 16, 24, 3)
    whole = list(data.eval_batches(source, 2))
    assert sum(b["example_mask"].sum() for b in whole) == 3


def test_found_boxes_go_back_to_the_image(folder):
    source = data.read_coco(write_coco(folder), size=(30, 17), ignored=True)
    batch = source.take(np.arange(3))
    back = data.to_original(batch["boxes"], batch["image_size"], source.size)
    for place, objects in enumerate(OBJECTS.values()):
        for i, (box, _) in enumerate(objects):
            np.testing.assert_allclose(back[place, i], box, atol=1e-4)


def test_masks_are_the_same_however_they_are_written(folder):
    from pycocotools import mask as codes

    rows = np.arange(3)
    polygons = data.read_coco(write_coco(folder), size=20, masks=True).take(rows)["masks"]
    assert polygons.shape == (3, 2, 20, 20)
    assert polygons[0, 0, 3:9, 2:12].all() and polygons[0, 0].sum() == 60

    def other(kind):
        def change(content):
            for entry in content["annotations"]:
                height, width = list(SIZES.values())[entry["image_id"] - 10]
                code = codes.frPyObjects(entry["segmentation"], height, width)[0]
                mask = object_mask(code, (height, width))
                if kind == "compressed":
                    code["counts"] = code["counts"].decode()
                else:
                    runs, last, count = [], 0, 0
                    for value in mask.ravel(order="F").tolist():
                        if value != last:
                            runs.append(count)
                            last, count = value, 0
                        count += 1
                    code["counts"] = [*runs, count]
                entry["segmentation"] = code

        return change

    for kind in ("compressed", "plain"):
        again = data.read_coco(write_coco(folder, other(kind)), size=20, masks=True)
        np.testing.assert_array_equal(again.take(rows)["masks"], polygons)
    (folder / "masks").mkdir()
    for name in SIZES:
        numbers = np.zeros(SIZES[name], np.uint8)
        for place, ((x1, y1, x2, y2), _) in enumerate(OBJECTS[name]):
            if (name, place) != IGNORED:
                numbers[y1:y2, x1:x2] = place + 1
        Image.fromarray(numbers).save(folder / "masks" / f"{name}.png")

    def numbered(content):
        content["annotations"] = [e for e in content["annotations"] if not e["iscrowd"]]
        content["annotations"] = content["annotations"][:1]
        content["annotations"][0]["instance"] = 1
        content["images"][0]["mask"] = "a.png"

    one = data.read_coco(
        write_coco(folder, numbered), size=20, masks=True, instance_masks=folder / "masks"
    )
    visible = np.zeros((20, 20), np.uint8)
    visible[3:9, 2:12] = 1
    visible[1:4, 1:4] = 0  # another object lies in front
    np.testing.assert_array_equal(one.take(rows[:1])["masks"][0, 0], visible)
    yolo = data.read_yolo(
        folder / "images", write_yolo(folder, polygons=True), CLASSES, size=20, masks=True
    )
    np.testing.assert_array_equal(yolo.take(rows)["masks"][0, 0], polygons[0, 0])


def test_keypoints_move_to_pixel_centers_and_with_the_image(folder):
    source = data.read_coco(write_coco(folder), size=10, keypoints=True)
    points = source.take(np.array([0]))["keypoints"]
    assert points.shape == (1, 2, 3, 3)
    assert points[0, 0].tolist() == [[1.25, 1.75, 2], [5.75, 4.25, 1], [0, 0, 0]]


def test_a_folder_is_known_by_its_layout(folder):
    write_coco(folder)
    assert len(data.load_objects(folder, size=20)) == 3
    (folder / "train.json").unlink()
    write_voc(folder)
    (folder / "JPEGImages").symlink_to(folder / "images")
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (folder / "classes.txt").write_text("cat\ndog\nowl\n")
    voc = data.load_objects(folder, size=20)
    assert len(voc) == 2 and voc.class_names == CLASSES
    yolo = folder / "yolo"
    (yolo / "train").mkdir(parents=True)
    (yolo / "classes.txt").write_text("cat\ndog\nowl\n")
    (yolo / "train" / "images").symlink_to(folder / "images")
    write_yolo(folder).rename(yolo / "train" / "labels")
    check(data.load_objects(yolo, size=20).take(np.arange(3)), 20, True)
    with pytest.raises(data.AnnotationError, match="found neither COCO's JSON of val, nor VOC's"):
        data.load_objects(yolo, "val", size=20)


def test_label_images(folder):
    (folder / "labels").mkdir()
    for name, size in SIZES.items():
        labels = np.zeros(size, np.uint8)
        labels[2:5] = 1
        labels[0, 0] = 9
        image = Image.fromarray(labels, mode=None)
        image.save(folder / "labels" / f"{name}.png")
    source = data.LabelImageSource(
        folder / "images", folder / "labels", ["road", "sky"], size=20, void=9
    )
    batch = source.take(np.arange(3))
    data.check_batch(batch)
    assert batch["masks"].shape == (3, 20, 20) and batch["masks"].dtype == np.int32
    assert (batch["masks"][0, 12:] == 9).all() and batch["masks"][0, 0, 0] == 9
    assert (batch["masks"][0, 2:5] == 1).all() and (batch["masks"][0, 5:12] == 0).all()
    with pytest.raises(data.AnnotationError, match=r"a.png holds the number 9; expected 0 to 1"):
        data.LabelImageSource(folder / "images", folder / "labels", ["road", "sky"], size=20).take(
            np.array([0])
        )
    with pytest.raises(data.AnnotationError, match="void: got 1, which is class 'sky'"):
        data.LabelImageSource(
            folder / "images", folder / "labels", ["road", "sky"], size=20, void=1
        )
    (folder / "labels" / "b.png").unlink()
    with pytest.raises(data.AnnotationError, match=r"b.png isn't there; expected a label image"):
        data.LabelImageSource(folder / "images", folder / "labels", ["road", "sky"], size=20)


def set_entry(**values):
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry(bbox=[9, 9, -4, 2]), r"annotation 1 has bbox \[9, 9, -4, 2\], with a negative"),
        (set_entry(bbox=[9, 9]), r"annotation 1 has bbox \[9, 9\]; expected \[x, y, width"),
        (set_entry(category_id=8), r"image a.png: class 8; expected one of 3, 7, 90"),
        (lambda c: c.update(categories=[]), "categories are empty; expected at least one class"),
        (lambda c: c.pop("categories"), "train.json has no categories; expected COCO's format"),
        (
            set_entry(segmentation=[[1, 2, 3, 4]]),
            "polygon of 4 numbers, 2 points; expected x, y",
        ),
        (set_entry(keypoints=[1, 2, 2]), "has 3 numbers of keypoints; expected 9: x, y and"),
        (set_entry(image_id=77), "annotations of image 77, which is not listed"),
        (
            lambda c: c["images"][1].update(file_name="gone.png"),
            "names the image .*gone.png, which isn't there; expected the file",
        ),
        (
            lambda c: [e.update(bbox=[0.1, 0.1, 0.5, 0.5]) for e in c["annotations"]],
            "all boxes lie in 0 … 1, as fractions of the image do; expected pixels",
        ),
    ],
)
def test_what_is_wrong_with_coco_files_is_said(change, message, folder):
    with pytest.raises(data.AnnotationError, match=message):
        data.read_coco(
            write_coco(folder, change), folder / "images", size=20, masks=True, keypoints=True
        )


def test_what_is_wrong_with_images_is_said(folder):
    path = write_coco(folder, lambda c: c["images"][0].update(height=20, width=12))
    with pytest.raises(data.AnnotationError, match=r"a.png has 12×20 pixels .*expected 20×12"):
        data.read_coco(path, size=20).take(np.array([0]))
    with pytest.raises(data.AnnotationError, match=r"a.png has 2 objects; expected at most"):
        data.read_coco(write_coco(folder), size=20, max_objects=1)
    with pytest.raises(data.AnnotationError, match=r"can't read .* as JSON"):
        (folder / "train.json").write_text("{")
        data.read_coco(folder / "train.json", size=20)
    (folder / "images" / "a.png").write_bytes(b"no image")
    source = data.read_coco(write_coco(folder), size=20)
    with pytest.raises(JaxnetsError, match=r"can't read the image .*a.png"):
        source.take(np.array([0]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 10 10 5 5", "expected fractions of the image, 0 … 1, not pixels"),
        ("3 .5 .5 .2 .2", "class number 3; expected 0 to 2, as there are 3 classes"),
        ("0 .5 .5 .2", "4 numbers; expected class x y width height"),
        ("0 .5 .5 .6 .6 .7", "6 numbers; expected class x y width height"),
        ("cat .5 .5 .2 .2", r"'cat .5 .5 .2 .2'; expected numbers"),
    ],
)
def test_what_is_wrong_with_yolo_files_is_said(line, message, folder):
    labels = write_yolo(folder)
    (labels / "b.txt").write_text(f"0 .5 .5 .2 .2\n{line}\n")
    with pytest.raises(data.AnnotationError, match=f"b.txt, line 2: .*{message}"):
        data.read_yolo(folder / "images", labels, CLASSES, size=20)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmax>12</xmax>", "<xmax>1</xmax>", "a.xml: box 0 is .*with x2 < x1; expected the"),
        (
            "<name>dog</name>",
            "<name>cow</name>",
            "a.xml: class 'cow'; expected one of 'cat'",
        ),
        ("</annotation>", "", "a.xml is no VOC annotation"),
        ("<annotation>", "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation>", "a.xml defines entities"),
        ("a.png", "z.png", "names the image .*z.png, which isn't there"),
    ],
)
def test_what_is_wrong_with_voc_files_is_said(old, new, message, folder):
    path = write_voc(folder) / "a.xml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(data.AnnotationError, match=message):
        data.read_voc(folder / "Annotations", folder / "images", size=20, classes=CLASSES)


def test_own_arrays_are_checked():
    boxes = np.array([[[0.0, 0, 4, 4], [9.0, 9, 2, 2]]])
    labels = np.array([[0, 7]])
    data.check_objects(boxes, labels, num_classes=2, mask=np.array([[1, 0]]), size=(8, 8))
    with pytest.raises(data.AnnotationError, match=r"box 1 is .*x2 < x1"):
        data.check_objects(boxes, labels, num_classes=8)
    with pytest.raises(data.AnnotationError, match="class number 7; expected 0 to 1"):
        data.check_objects(np.abs(boxes[:, ::-1] * 0 + boxes[:, :1]), labels, num_classes=2)
    with pytest.raises(data.AnnotationError, match="all boxes lie in 0 … 1"):
        data.check_objects(boxes[:, :1] / 8, labels[:, :1], num_classes=2, size=(8, 8))
    with pytest.raises(data.AnnotationError, match="expected numbers"):
        data.check_objects(boxes * np.nan, labels, num_classes=8)
    with pytest.raises(data.AnnotationError, match=r"boxes have shape \(1, 2, 4\) and labels"):
        data.check_objects(boxes, labels[0], num_classes=8)
