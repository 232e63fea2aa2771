"""Arrays, records of other libraries, validation splits, balanced orders."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import (
    ArrayRows,
    Batches,
    RecordSource,
    Split,
    hold_out_validation,
    load_dataset,
    make_dataset,
    own,
)
from jaxnets.data.shuffle import HOLDOUT, balanced_order, held_out_rows
from jaxnets.errors import JaxnetsError

IMAGES = np.arange(20 * 4, dtype=np.uint8).reshape(20, 2, 2, 1)
LABELS = np.arange(20) % 4


def test_arrays_from_a_file(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=IMAGES[..., 0], y_train=LABELS[:, None], val_images=IMAGES,
             val_labels=LABELS, test_x=IMAGES[:4], test_y=LABELS[:4])  # fmt: skip
    dataset = load_dataset(f"arrays:{tmp_path / 'a.npz'}")
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [20, 20, 4]
    assert dataset.image_shape == (2, 2, 1) and dataset.class_names == ("0", "1", "2", "3")
    np.savez(tmp_path / "b.npz", images=IMAGES, labels=LABELS, class_names=list("abcd"))
    dataset = load_dataset(f"arrays:{tmp_path / 'b.npz'}")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    assert dataset.class_names == tuple("abcd")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES / 1.0, LABELS, r"mine: train images: floating pixels must lie in 0 … 1"),
        (IMAGES, LABELS[:5], r"train labels are int64\[5\]"),
        (IMAGES, LABELS / 1.0, "expected whole"),
        (IMAGES, LABELS - 1, "below 0"),
        (IMAGES.repeat(2, -1), LABELS, r"\[20, 2, 2, 2\]"),
    ],
)
def test_arrays_that_are_none_are_refused(images, labels, message):
    with pytest.raises(JaxnetsError, match=message):
        make_dataset("mine", (images, labels))


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "a.npz").write_text("no archive")
    with pytest.raises(JaxnetsError, match=r"cannot be read as \.npz"):
        load_dataset(f"arrays:{tmp_path / 'a.npz'}")
    np.savez(tmp_path / "b.npz", something=IMAGES)
    with pytest.raises(JaxnetsError, match="has something; expected train_images"):
        load_dataset(f"arrays:{tmp_path / 'b.npz'}")
    with pytest.raises(JaxnetsError, match="class number 3, but only 2 class names"):
        make_dataset("mine", (IMAGES, LABELS), class_names=("a", "b"))


def test_validation_takes_its_share_of_every_class_and_nothing_twice():
    dataset = hold_out_validation(make_dataset("mine", (IMAGES, LABELS)), 0.25)
    assert np.bincount(dataset.validation.labels).tolist() == [1, 1, 1, 1]
    rows = [split.images[:, 0, 0, 0].tolist() for split in (dataset.train, dataset.validation)]
    assert not set(rows[0]) & set(rows[1])
    with pytest.raises(JaxnetsError, match=r"between 0 and 1, got 1\.0"):
        hold_out_validation(dataset, 1.0)


def test_large_sets_are_read_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.setattr(own, "COPY_BYTES", 1)
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    mapped = np.load(path, mmap_mode="r")
    dataset = make_dataset("mine", (mapped, LABELS))
    assert isinstance(dataset.train.images, ArrayRows)
    assert dataset.train.images.array is not IMAGES and dataset.train.images.dtype == np.uint8
    batch = Batches(dataset.train, 4, seed=0)[1]
    rows = Batches(dataset.train, 4, seed=0).indices(1)
    np.testing.assert_array_equal(batch["image"], np.asarray(dataset.train.images)[rows])


def test_held_out_rows_leave_every_class_something():
    labels = np.array([0] * 10 + [1] * 2 + [2])
    held = labels[held_out_rows(labels, 0.9, 0, use=HOLDOUT)]
    assert np.bincount(held, minlength=3).tolist() == [9, 1, 0]


def test_a_balanced_order_shows_classes_equally_and_examples_evenly():
    labels = np.array([0] * 7 + [1] * 3 + [2])
    shown = np.zeros(11, int)
    for epoch in range(12):
        order = balanced_order(labels, 5, epoch)
        counts = np.bincount(labels[order], minlength=3)
        assert len(order) == 11 and counts.max() - counts.min() <= 1
        shown += np.bincount(order, minlength=11)
        for k in range(3):
            of_class = shown[labels == k]
            assert of_class.max() - of_class.min() <= 1
    # A pure function of (seed, epoch), in batches too.
    source = Split(IMAGES[:11], labels)
    batches = Batches(
        source, 5, seed=5, order=lambda seed, epoch: balanced_order(labels, seed, epoch)
    )
    np.testing.assert_array_equal(batches.indices(2), balanced_order(labels, 5, 1)[:5])


class HuggingFaceLike:
    """Length and rows, each a dict with a Pillow image: as ``datasets.Dataset`` gives them."""

    def __len__(self):
        return 6

    def __getitem__(self, row):
        assert isinstance(row, int)
        return {"img": Image.new("RGB", (5 + row, 4), (row, 0, 0)), "fine_label": row}


def test_records_of_other_libraries():
    source = RecordSource(HuggingFaceLike(), size=4)
    batch = source.take(np.array([5, 0]))
    assert batch["image"].shape == (2, 4, 4, 3) and batch["image"].dtype == np.uint8
    assert batch["label"].tolist() == [5, 0] and batch["image"][0, 0, 0].tolist() == [5, 0, 0]
    with pytest.raises(JaxnetsError, match="differ in size: give size=N"):
        RecordSource(HuggingFaceLike()).take(np.array([0, 1]))
    pairs = RecordSource([(IMAGES[k], k) for k in range(3)], channels=1)  # as PyTorch's data sets
    np.testing.assert_array_equal(pairs.take(np.array([2]))["image"][0], IMAGES[2])
    named = RecordSource([{"photo": IMAGES[0], "y": 1}], channels=1, keys={"image": "photo"})
    assert named.take(np.array([0]))["label"].tolist() == [1]
    with pytest.raises(JaxnetsError, match="say which is the image"):
        RecordSource([{"photo": IMAGES[0], "y": 1}]).take(np.array([0]))
    with pytest.raises(JaxnetsError, match="a record's image: floating pixels must lie in 0 … 1"):
        RecordSource([(IMAGES[1] / 1.0, 1)]).take(np.array([0]))
    unit = RecordSource([(IMAGES[1] / 255, 1)], channels=1).take(np.array([0]))["image"]
    np.testing.assert_array_equal(unit[0], IMAGES[1])
