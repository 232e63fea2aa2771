"""Folders of images: classes, splits, broken files, the cache."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import load_dataset, load_folder, scan_folder
from jaxnets.data.folder import image_sizes
from jaxnets.errors import JaxnetsError


def write(path, value=0, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)


@pytest.fixture
def pets(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "pets"
    for k, (name, count) in enumerate((("cat", 10), ("dog", 5), ("ant", 1))):
        for i in range(count):
            write(root / name / f"{i}.png", 10 * k + i)
    (root / "cat" / "Thumbs.db").write_text("no image")
    (root / ".hidden").mkdir()
    return root


def test_classes_and_a_stratified_split(pets):
    dataset = load_dataset(f"folder:{pets}")
    assert dataset.class_names == ("ant", "cat", "dog")
    assert dataset.image_shape == (12, 10, 3)
    # A fifth of each class, but never the last image of one.
    assert np.bincount(dataset.test.labels, minlength=3).tolist() == [0, 2, 1]
    assert np.bincount(dataset.train.labels, minlength=3).tolist() == [1, 8, 4]
    values = np.concatenate(
        [np.asarray(s.images)[:, 0, 0, 0] for s in (dataset.train, dataset.test)]
    )
    assert sorted(values) == sorted([20, *range(10), *range(10, 15)])
    again = load_dataset(f"folder:{pets}")
    np.testing.assert_array_equal(again.test.images, dataset.test.images)
    assert isinstance(again.train.images, np.memmap) or again.train.images.base is not None


def test_a_class_of_one_image_each(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    for k in range(3):
        write(tmp_path / "set" / f"class{k}" / "0.png", k)
    with pytest.raises(JaxnetsError, match="no class has more than one image"):
        load_folder(tmp_path / "set")
    # Where nothing is trained, all are tested on.
    images, labels = load_folder(tmp_path / "set", test_only=True).splits["test"]
    assert labels.tolist() == [0, 1, 2] and images[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_sizes_are_brought_to_one(pets):
    write(pets / "dog" / "large.png", 200, (40, 60))
    assert image_sizes(scan_folder(pets)) == {(12, 10), (40, 60)}
    with pytest.raises(
        JaxnetsError, match=r"differ in size \(12×10, 40×60, …\): give --image-size"
    ):
        load_dataset(f"folder:{pets}")
    assert load_dataset(f"folder:{pets}", size=8).image_shape == (8, 8, 3)


def test_train_val_and_test_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in ("a", "b"):
            for i in range(count):
                write(tmp_path / "set" / split / name / f"{i}.jpg")
    dataset = load_dataset(f"folder:{tmp_path / 'set'}")
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [6, 4, 2]
    # As ImageNet comes, without "test": what is called "val" is tested on.
    for file in (tmp_path / "set" / "test").rglob("*.jpg"):
        file.unlink()
    for folder in ("a", "b", ""):
        (tmp_path / "set" / "test" / folder).rmdir()
    dataset = load_dataset(f"folder:{tmp_path / 'set'}")
    assert dataset.validation is None and len(dataset.test) == 4
    assert load_dataset(f"folder:{tmp_path / 'set'}", validation=0.3).validation is not None
    write(tmp_path / "set" / "val" / "c" / "0.jpg")
    with pytest.raises(JaxnetsError, match="val has the classes c"):
        scan_folder(tmp_path / "set")


def test_broken_files_are_named_and_left_out_on_request(pets):
    (pets / "cat" / "text.jpg").write_text("not an image")
    whole = (pets / "dog" / "0.png").read_bytes()
    (pets / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(JaxnetsError) as caught:
        load_dataset(f"folder:{pets}")
    assert "2 file(s) cannot be read" in str(caught.value)
    assert "text.jpg" in str(caught.value) and "cut.png" in str(caught.value)
    assert "--skip-broken" in str(caught.value)
    dataset = load_dataset(f"folder:{pets}", skip_broken=True)
    assert len(dataset.train) + len(dataset.test) == 16
    assert len(dataset.train.info["skipped"]) == 2


def test_the_cache_follows_the_files(pets):
    before = load_folder(pets)
    write(pets / "ant" / "1.png", 250)
    after = load_folder(pets)
    assert sum(len(x) for x, _ in after.splits.values()) == 17
    assert sum(len(x) for x, _ in before.splits.values()) == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "there is no such folder"),
        (lambda root: root.mkdir(), "at least two; found: none"),
        (lambda root: write(root / "cat" / "0.png"), "at least two; found: cat"),
        (
            lambda root: (write(root / "cat" / "0.png"), (root / "dog").mkdir()),
            "no images in dog",
        ),
    ],
)
def test_what_is_no_such_folder(make, message, tmp_path):
    make(tmp_path / "set")
    with pytest.raises(JaxnetsError, match=message):
        scan_folder(tmp_path / "set")
