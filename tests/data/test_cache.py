"""The cache is whole or not there, whatever happens to the processes that write it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from jaxnets.data import list_datasets, load_dataset
from jaxnets.data.cache import (
    MANIFEST,
    allocate,
    default_cache_dir,
    open_entry,
    open_or_build,
)
from jaxnets.data.tfds_files import default_data_dir
from jaxnets.errors import JaxnetsError


class Build:
    """Writes two arrays and counts how often it was asked to."""

    def __init__(self):
        self.calls = 0

    def __call__(self, folder):
        self.calls += 1
        np.save(folder / "images.npy", np.arange(5000, dtype=np.uint8))
        np.save(folder / "labels.npy", np.arange(20, dtype=np.int32))
        return {"class_names": ["a"]}


def check(found):
    arrays, facts = found
    np.testing.assert_array_equal(arrays["images"], np.arange(5000, dtype=np.uint8))
    np.testing.assert_array_equal(arrays["labels"], np.arange(20))
    assert facts == {"class_names": ["a"]}


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_built_once_then_opened(tmp_path):
    build, entry = Build(), tmp_path / "cache" / "entry"
    check(open_or_build(entry, build))
    check(open_or_build(entry, build))
    assert build.calls == 1
    assert visible(entry.parent) == ["entry"]
    arrays, _ = open_entry(entry)
    assert isinstance(arrays["images"], np.memmap) and not arrays["images"].flags.writeable


def truncate(entry):
    os.truncate(entry / "images.npy", 3000)


def lengthen(entry):
    with open(entry / "images.npy", "ab") as file:
        file.write(b"more")


def flip_one_bit(entry):
    content = bytearray((entry / "images.npy").read_bytes())
    content[1000] ^= 1
    (entry / "images.npy").write_bytes(content)


def lose_a_file(entry):
    (entry / "labels.npy").unlink()


def lose_the_manifest(entry):
    (entry / MANIFEST).unlink()


def cut_the_manifest(entry):
    os.truncate(entry / MANIFEST, 40)


def foreign_manifest(entry):
    (entry / MANIFEST).write_text(json.dumps(["not", "ours"]))


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        lengthen,
        flip_one_bit,
        lose_a_file,
        lose_the_manifest,
        cut_the_manifest,
        foreign_manifest,
    ],
)
def test_damage_is_noticed_and_rebuilt(damage, tmp_path):
    build, entry = Build(), tmp_path / "entry"
    open_or_build(entry, build)
    damage(entry)
    assert open_entry(entry) is None
    check(open_or_build(entry, build))
    assert build.calls == 2
    assert visible(tmp_path) == ["entry"]


def test_a_build_that_fails_leaves_nothing(tmp_path):
    def fail(folder):
        np.save(folder / "images.npy", np.zeros(10))
        raise JaxnetsError("damaged source")

    with pytest.raises(JaxnetsError, match="damaged source"):
        open_or_build(tmp_path / "entry", fail)
    assert visible(tmp_path) == []


def test_killed_while_building(tmp_path):
    """A real process, really killed with half of the data written."""
    program = (
        "import sys, time, numpy as np\n"
        "from pathlib import Path\n"
        "from jaxnets.data.cache import open_or_build\n"
        "def build(folder):\n"
        "    np.save(folder / 'images.npy', np.zeros(2000, np.uint8))\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
        "open_or_build(Path(sys.argv[1]), build)\n"
    )
    entry = tmp_path / "entry"
    process = subprocess.Popen([sys.executable, "-c", program, str(entry)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(visible(tmp_path)) == 1  # the temporary folder that it left
    assert open_entry(entry) is None
    build = Build()
    check(open_or_build(entry, build))
    assert build.calls == 1
    assert visible(tmp_path) == ["entry"]  # and the left-over is gone


def test_two_processes_at_once(tiny_tfds, tmp_path):
    program = (
        "import sys, numpy as np\n"
        "from jaxnets.data import load_dataset\n"
        "data = load_dataset('tiny', data_dir=sys.argv[1], cache_dir=sys.argv[2])\n"
        "print(int(np.asarray(data.train.images, np.int64).sum()))\n"
    )
    command = [sys.executable, "-c", program, str(tiny_tfds), str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    sums = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(sums) == 1
    assert len(visible(tmp_path / "datasets")) == 1


def test_without_file_locks_the_rename_decides(tmp_path, monkeypatch):
    """Two builders side by side, as on a file system without locks: the second finds it done."""
    import fcntl

    def no_locks(*args):
        raise OSError("locks are not supported here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    entry, outer, inner = tmp_path / "entry", Build(), Build()

    def overtaken(folder):
        check(open_or_build(entry, inner))  # another process finishes first
        return outer(folder)

    check(open_or_build(entry, overtaken))
    assert (outer.calls, inner.calls) == (1, 1)
    assert visible(tmp_path) == ["entry"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JaxnetsError, match="JAXNETS_CACHE") as error:
        open_or_build(tmp_path / "file" / "entry", Build())
    assert str(tmp_path / "file") in str(error.value)


def test_a_full_disk_is_said_before_anything_is_written(tiny_tfds, tmp_path, monkeypatch):
    """A memory map without room on the disk ends the process by a bus error."""

    def full(descriptor, offset, length):
        assert length > 30 * 6 * 5 * 3
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(JaxnetsError, match=r"No space left on device\. Make room .*JAXNETS_CACHE"):
        load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path)
    assert list(tmp_path.rglob("*.npy")) == []
    monkeypatch.undo()
    load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path)


def test_room_is_taken_at_once(tmp_path):
    allocate(tmp_path / "a.npy", (1000, 1000), np.uint8)
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= 1_000_000
    assert np.load(tmp_path / "a.npy").shape == (1000, 1000)


def no_names(manifest, arrays):
    manifest["facts"] = {}


def one_class(manifest, arrays):
    manifest["facts"]["class_names"] = ["cat"]


def floats(manifest, arrays):
    arrays["train_images"] = arrays["train_images"].astype(np.float32)


def short(manifest, arrays):
    arrays["test_labels"] = arrays["test_labels"][:-1]


def gone(manifest, arrays):
    del arrays["test_images"]


@pytest.mark.parametrize("forge", [no_names, one_class, floats, short, gone])
def test_a_forged_entry_is_made_anew(forge, tiny_tfds, tmp_path):
    """With lengths and checksums that fit: another program may have written it."""
    before = np.array(load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path).train.images)
    (file,) = tmp_path.rglob(MANIFEST)
    manifest = json.loads(file.read_text())
    arrays = {path.stem: np.array(np.load(path)) for path in file.parent.glob("*.npy")}
    forge(manifest, arrays)
    manifest["files"] = {}
    for name, array in arrays.items():
        path = file.parent / f"{name}.npy"
        np.save(path, array)
        content = path.read_bytes()
        entry = {"bytes": len(content), "crc32": zlib.crc32(content)}
        manifest["files"][path.name] = entry
    file.write_text(json.dumps(manifest))
    data = load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path)
    np.testing.assert_array_equal(data.train.images, before)
    assert data.class_names == ("cat", "dog")


def test_files_elsewhere_are_not_opened(tmp_path):
    open_or_build(tmp_path / "entry", Build())
    np.save(tmp_path / "secret.npy", np.arange(3))
    file = tmp_path / "entry" / MANIFEST
    manifest = json.loads(file.read_text())
    content = (tmp_path / "secret.npy").read_bytes()
    entry = {"bytes": len(content), "crc32": zlib.crc32(content)}
    manifest["files"]["../secret.npy"] = entry
    file.write_text(json.dumps(manifest))
    assert open_entry(tmp_path / "entry") is None


def test_without_a_home_directory(monkeypatch):
    """As in a container whose user has neither HOME nor an entry in /etc/passwd."""

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.delenv("JAXNETS_CACHE")
    assert default_cache_dir() == Path(".cache/jaxnets")
    assert default_data_dir() == Path("tensorflow_datasets")
    assert list_datasets() == ["digits"]


def test_changed_records_are_decoded_again(make_tfds, tiny_arrays, tmp_path):
    data_dir, cache_dir = tmp_path / "data", tmp_path / "cache"
    data_dir.mkdir()
    make_tfds(data_dir, tiny_arrays)
    load_dataset("tiny", data_dir=data_dir, cache_dir=cache_dir)
    load_dataset("tiny", data_dir=data_dir, cache_dir=cache_dir)
    assert len(visible(cache_dir / "datasets")) == 1
    shutil.rmtree(data_dir / "tiny")
    time.sleep(0.01)  # file systems tell times apart to a few milliseconds
    inverted = {split: (255 - images, labels) for split, (images, labels) in tiny_arrays.items()}
    make_tfds(data_dir, inverted)
    data = load_dataset("tiny", data_dir=data_dir, cache_dir=cache_dir)
    assert data.train.images.astype(int).sum() == inverted["train"][0].astype(int).sum()
    assert len(visible(cache_dir / "datasets")) == 2


def test_damaged_decoded_images_are_decoded_again(tiny_tfds, tmp_path):
    before = np.array(load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path).train.images)
    (images,) = tmp_path.rglob("train_images.npy")
    os.truncate(images, images.stat().st_size // 2)
    after = load_dataset("tiny", data_dir=tiny_tfds, cache_dir=tmp_path).train.images
    np.testing.assert_array_equal(after, before)
