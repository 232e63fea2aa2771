"""Digits, prepared TFDS sets, subsets, and the errors of names and places."""

import importlib.util
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxnets.data import (
    Split,
    list_datasets,
    load_dataset,
    prepare,
    stratified_subset,
    tfds_files,
)
from jaxnets.data.tfds_files import default_data_dir
from jaxnets.errors import JaxnetsError, UnknownNameError


def as_pairs(split: Split) -> list[tuple[bytes, int]]:
    pairs = zip(np.asarray(split.images), split.labels, strict=True)
    return sorted((image.tobytes(), int(label)) for image, label in pairs)


def test_digits_are_scikit_learns():
    from sklearn.datasets import load_digits

    digits = load_dataset("digits")
    assert digits.train.images.dtype == np.uint8 and digits.train.labels.dtype == np.int32
    assert digits.image_shape == digits.train.images.shape[1:] == (8, 8, 1)
    # The gray levels come back exactly, and both splits together are the whole set.
    both = Split(*(np.concatenate(part) for part in zip(digits.train, digits.test, strict=True)))
    levels = np.round(both.images * (16 / 255)).astype(np.uint8)
    bunch = load_digits()
    original = Split(bunch.images.astype(np.uint8)[..., None], bunch.target)
    assert as_pairs(Split(levels, both.labels)) == as_pairs(original)
    assert set(np.unique(both.images)) == {round(255 * v / 16) for v in range(17)}


def test_digits_split_is_stratified_and_fixed():
    digits = load_dataset("digits")
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    share = np.bincount(digits.test.labels) / np.bincount(
        np.concatenate([digits.train.labels, digits.test.labels])
    )
    # Each class is within one example of 360/1797.
    np.testing.assert_allclose(share, 360 / 1797, atol=1 / 174)
    # Golden: the split must never change, or accuracies of different versions would not compare.
    import hashlib

    assert hashlib.sha256(digits.test.images.tobytes()).hexdigest()[:16] == "f23c2fd931fd1d67"


def test_arrays_are_read_only():
    digits = load_dataset("digits", train_examples=100)
    for array in (*digits.train, *digits.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_train_examples_is_stratified_deterministic_and_leaves_test_alone():
    whole, part = load_dataset("digits"), load_dataset("digits", train_examples=333)
    counts = np.bincount(part.train.labels)
    exact = np.bincount(whole.train.labels) * 333 / 1437
    assert counts.sum() == 333 and np.all(np.abs(counts - exact) < 1)
    again = load_dataset("digits", train_examples=333)
    np.testing.assert_array_equal(part.train.images, again.train.images)
    assert as_pairs(part.test) == as_pairs(whole.test)
    assert set(as_pairs(part.train)) <= set(as_pairs(whole.train))
    other = stratified_subset(whole.train, 333, seed=1)
    assert not np.array_equal(other.images, part.train.images)


@pytest.mark.parametrize("count", [0, -1, 1438])
def test_train_examples_out_of_range(count):
    with pytest.raises(JaxnetsError, match="1437"):
        load_dataset("digits", train_examples=count)


def test_prepared_set_is_read_exactly(tiny_tfds, tiny_arrays):
    data = load_dataset("tiny", data_dir=tiny_tfds)
    assert data.class_names == ("cat", "dog") and data.image_shape == (6, 5, 3)
    assert as_pairs(data.train) == as_pairs(Split(*tiny_arrays["train"]))
    assert as_pairs(data.test) == as_pairs(Split(*tiny_arrays["test"]))
    assert isinstance(data.train.images, np.memmap) and data.train.labels.dtype == np.int32


def test_data_dir_and_cache_come_from_the_environment(tiny_tfds, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny_tfds))
    assert list_datasets() == ["digits", "tiny"]
    data = load_dataset("tiny:1.0.0", train_examples=10)
    assert data.train.images.shape == (10, 6, 5, 3)
    assert list((tmp_path / "cache").rglob("train_images.npy"))
    load_dataset("tiny", cache_dir=tmp_path / "elsewhere")
    assert list((tmp_path / "elsewhere").rglob("train_images.npy"))
    monkeypatch.delenv("TFDS_DATA_DIR")
    assert default_data_dir().name == "tensorflow_datasets"


def test_gray_images_and_tensors(make_tfds, tmp_path):
    rng = np.random.default_rng(1)
    gray = rng.integers(0, 256, (9, 4, 4, 1), dtype=np.uint8)
    labels = np.arange(9) % 3
    splits = {"train": (gray, labels), "test": (gray[::-1], labels[::-1])}
    for stored in ("image", "tensor"):
        make_tfds(tmp_path, splits, name=stored, names="xyz", shape=(4, 4, 1), stored=stored)
        data = load_dataset(stored, data_dir=tmp_path)
        assert as_pairs(data.train) == as_pairs(Split(gray, labels))


def test_without_a_test_split_a_fifth_is_held_out(make_tfds, tmp_path, tiny_arrays):
    make_tfds(tmp_path, {"train": tiny_arrays["train"]}, name="only_train")
    data = load_dataset("only_train", data_dir=tmp_path)
    assert (len(data.train), len(data.test)) == (24, 6)
    assert np.bincount(data.test.labels).tolist() == [3, 3]
    both = as_pairs(data.train) + as_pairs(data.test)
    assert sorted(both) == as_pairs(Split(*tiny_arrays["train"]))


def test_unlabeled_test_split_is_passed_over(make_tfds, tmp_path, tiny_arrays):
    images, labels = tiny_arrays["test"]
    splits = {
        "train": tiny_arrays["train"],
        "test": (images, np.full(len(labels), -1)),
        "validation": (images[:8], labels[:8]),
    }
    make_tfds(tmp_path, splits, name="secret_labels")
    data = load_dataset("secret_labels", data_dir=tmp_path)
    assert as_pairs(data.test) == as_pairs(Split(images[:8], labels[:8]))


def test_images_of_differing_sizes(make_tfds, tmp_path):
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((8, 12), (9, 7), (8, 8))]
    splits = {"train": (images, [0, 1, 0]), "test": (images, [0, 1, 0])}
    make_tfds(tmp_path, splits, name="sizes", shape=(None, None, 3))
    with pytest.raises(JaxnetsError, match=r"differing sizes.*size="):
        load_dataset("sizes", data_dir=tmp_path)
    data = load_dataset("sizes", data_dir=tmp_path, size=8)
    assert data.image_shape == (8, 8, 3)
    # The image that had this size already is untouched.
    assert images[2].tobytes() in [image.tobytes() for image in data.train.images]
    # 8×12 loses two columns on either side.
    assert images[0][:, 2:10].tobytes() in [image.tobytes() for image in data.train.images]
    with pytest.raises(JaxnetsError, match="digits"):
        load_dataset("digits", size=16)


def test_unknown_name_offers_the_nearest(tiny_tfds):
    with pytest.raises(UnknownNameError, match=r"Did you mean .*'tiny'") as error:
        load_dataset("tinny", data_dir=tiny_tfds)
    assert str(tiny_tfds) in str(error.value)
    with pytest.raises(UnknownNameError, match="'digits'"):
        load_dataset("digit", data_dir=tiny_tfds)
    with pytest.raises(UnknownNameError, match="Known: digits, tiny"):
        load_dataset("qqqqqq", data_dir=tiny_tfds)
    with pytest.raises(UnknownNameError):
        load_dataset("../tiny", data_dir=tiny_tfds)
    with pytest.raises(JaxnetsError, match=r"no version 9\.9\.9 .*1\.0\.0"):
        load_dataset("tiny:9.9.9", data_dir=tiny_tfds)


def test_not_prepared_says_where_and_how_within_two_seconds(tmp_path):
    """A new process, so that imports count; no sockets, so that a download attempt would show."""
    program = (
        "import socket, sys, time\n"
        "def refuse(*a, **k): raise SystemExit('tried the network')\n"
        "socket.getaddrinfo = socket.create_connection = refuse\n"
        "import jaxnets.data\n"
        "from jaxnets.errors import JaxnetsError\n"
        "start = time.perf_counter()\n"
        "try: jaxnets.data.load_dataset('cifar100', data_dir=sys.argv[1])\n"
        "except JaxnetsError as error: print(time.perf_counter() - start); print(error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    seconds, _, message = run.stdout.partition("\n")
    assert float(seconds) < 2
    assert str(tmp_path / "cifar100") in message
    assert f"python -m jaxnets.data.prepare cifar100 --data_dir {tmp_path}" in message


def test_other_file_formats_say_what_to_do(tiny_tfds, tmp_path):
    shutil.copytree(tiny_tfds, tmp_path / "data")
    info = tmp_path / "data" / "tiny" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord", 1))
    with pytest.raises(JaxnetsError, match="TensorFlow"):
        load_dataset("tiny", data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    "damage",
    [
        "half",
        "last bytes",
        "empty",
        "zeros inside",
        "missing",
        "dataset_info.json",
        "features.json",
        "fewer than there are",
        "more than there are",
    ],
)
def test_damaged_records(damage, tiny_tfds, tmp_path):
    shutil.copytree(tiny_tfds, tmp_path / "data")
    folder = tmp_path / "data" / "tiny" / "1.0.0"
    (records,) = folder.glob("*train.array_record*")
    content = records.read_bytes()
    if damage == "half":
        records.write_bytes(content[: len(content) // 2])
    elif damage == "last bytes":
        records.write_bytes(content[:-10])
    elif damage == "empty":
        records.write_bytes(b"")
    elif damage == "zeros inside":
        records.write_bytes(content[:500] + bytes(100) + content[600:])
    elif damage == "missing":
        records.unlink()
    elif damage.endswith("than there are"):
        info = folder / "dataset_info.json"
        count = "20" if damage.startswith("fewer") else "40"
        info.write_text(info.read_text().replace('"30"', f'"{count}"'))
    else:
        (folder / damage).write_text("{")
    with pytest.raises(JaxnetsError, match="damaged") as error:
        load_dataset("tiny", data_dir=tmp_path / "data")
    assert str(folder) in str(error.value)
    # Nothing half-decoded stays behind.
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_a_shard_cut_where_a_block_ends(make_tfds, tmp_path):
    """ArrayRecord writes blocks of 64 KiB; what is left of a cut file reads well."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 64, 64, 3), np.uint8)
    labels = np.arange(20) % 2
    splits = {"train": (images, labels), "test": (images[:2], labels[:2])}
    folder = make_tfds(tmp_path, splits, name="blocks", shape=(64, 64, 3), stored="tensor")
    (records,) = folder.glob("*train.array_record*")
    assert records.stat().st_size > 3 * 2**16
    os.truncate(records, 2 * 2**16)
    with pytest.raises(JaxnetsError, match=r"blocks.*damaged"):
        load_dataset("blocks", data_dir=tmp_path)


def test_not_an_image_classification_set(make_tfds, tmp_path, tiny_arrays):
    make_tfds(tmp_path, tiny_arrays, name="other", names=None)
    with pytest.raises(JaxnetsError, match="no image-classification set"):
        load_dataset("other", data_dir=tmp_path)


def test_importing_loads_no_heavy_package():
    heavy = ["tensorflow_datasets", "sklearn", "grain", "PIL", "tqdm", "matplotlib", "flax"]
    program = f"import sys, jaxnets.data; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_prepare_command(tiny_tfds, tmp_path, capsys, monkeypatch):
    assert prepare.main(["tiny", "--data_dir", str(tiny_tfds)]) == 0
    assert str(tiny_tfds / "tiny" / "1.0.0") in capsys.readouterr().out
    assert prepare.main(["cifar101", "--data_dir", str(tmp_path)]) == 2
    assert "cifar100" in capsys.readouterr().err
    pretend_tensorflow(monkeypatch, installed=False)
    start = time.perf_counter()
    assert prepare.main(["cifar100", "--data_dir", str(tmp_path)]) == 2
    assert time.perf_counter() - start < 2
    assert "pip install 'jaxnets[prepare]'" in capsys.readouterr().err


def pretend_tensorflow(monkeypatch, *, installed):
    find_spec = importlib.util.find_spec
    answer = object() if installed else None
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: answer if name == "tensorflow" else find_spec(name, *rest),
    )


def test_prepare_prepares(own_builder, tiny_arrays, tmp_path, capsys, monkeypatch):
    """All of it but the download: a dataset that TFDS knows by name and that needs no network."""
    own_builder(tiny_arrays, name="known_set", register=True)
    own_builder({"train": (None, None)}, name="broken_set", register=True)
    monkeypatch.setattr(tfds_files, "tfds_names", lambda: {"known_set", "broken_set"})
    pretend_tensorflow(monkeypatch, installed=True)
    with pytest.raises(JaxnetsError, match="prepare known_set"):
        load_dataset("known_set", data_dir=tmp_path)
    assert prepare.main(["known_set", "--data_dir", str(tmp_path)]) == 0
    data = load_dataset("known_set", data_dir=tmp_path)
    assert as_pairs(data.train) == as_pairs(Split(*tiny_arrays["train"]))
    assert prepare.main(["broken_set", "--data_dir", str(tmp_path)]) == 2
    assert "preparing 'broken_set'" in capsys.readouterr().err


def test_real_sets(prepared_datasets, cifar10):
    if cifar10 is None:
        pytest.skip("no prepared CIFAR-10 on this machine; the tiny set stands for it")
    assert {"cifar10", "mnist"} <= set(list_datasets(prepared_datasets))
    data = cifar10
    assert data.train.images.shape == (25000, 32, 32, 3)
    assert data.test.images.shape == (10000, 32, 32, 3)
    assert np.bincount(data.train.labels).tolist() == [2500] * 10
    assert data.class_names[3] == "cat"
    # The whole of CIFAR-10 has channel means 125.3, 123.0, 113.9; half of it is close.
    np.testing.assert_allclose(data.train.images[::10].mean((0, 1, 2)), [125, 123, 114], atol=2)
