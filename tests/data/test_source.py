"""Sources: rows as batches, with random access, and what is none."""

import numpy as np
import pytest

from jaxnets.data import ArraySource, Batches, Source, Split, eval_batches
from jaxnets.data.batch import BatchError


def test_rows_come_in_the_order_asked_for():
    source = ArraySource({"audio": np.arange(12.0).reshape(4, 3), "targets": np.arange(4)})
    batch = source.take(np.array([2, 0, 2]))
    np.testing.assert_array_equal(batch["targets"], [2, 0, 2])
    np.testing.assert_array_equal(batch["audio"][1], [0, 1, 2])
    assert len(source) == 4 and isinstance(source, Source)


def test_a_memory_map_is_not_read_until_it_is_asked_for(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, np.arange(24, dtype=np.uint8).reshape(3, 2, 4, 1))
    split = Split(np.load(path, mmap_mode="r"), np.arange(3, dtype=np.int32))
    assert isinstance(split.images, np.memmap)
    taken = split.take(np.array([1]))["image"]
    assert type(taken) is np.ndarray and taken.tolist() == np.load(path)[1:2].tolist()


def test_two_methods_are_a_source():
    class Squares:
        def __len__(self):
            return 10

        def take(self, rows):
            return {"targets": np.asarray(rows) ** 2}

    squares = Squares()
    batches = Batches(squares, 4, seed=0)
    seen = np.concatenate([batches[step]["targets"] for step in range(2)])
    assert set(seen) <= {n * n for n in range(10)} and len(set(seen)) == 8
    *_, last = eval_batches(squares, 4)
    assert last["targets"].tolist() == [64, 81, 81, 81]
    assert last["example_mask"].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "the source is empty"),
        ({"image": np.zeros(3), "label": np.zeros(2)}, "different lengths: image 3, label 2"),
        ({"labels": np.zeros(3)}, "unknown key 'labels'. Did you mean 'label'"),
    ],
)
def test_what_is_no_source(arrays, message):
    with pytest.raises(BatchError, match=message):
        ArraySource(arrays)


def test_a_split_unpacks():
    images, labels = Split(np.zeros((2, 1, 1, 1), np.uint8), np.array([3, 4]))
    assert images.shape == (2, 1, 1, 1) and labels.tolist() == [3, 4]
