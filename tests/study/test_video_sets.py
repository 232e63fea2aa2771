"""What the video experiments train on, from files that are written here."""

import numpy as np
import pytest

from jaxnets.data.video import write_video
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.study.video_sets import read_clips


def test_a_folder_of_videos(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_CACHE", str(tmp_path / "cache"))
    for name, level in (("dark", 20), ("light", 220)):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for i in range(5):
            frames = np.full((6, 16, 24, 3), level, np.uint8)
            write_video(tmp_path / "videos" / name / f"{i}.mp4", frames)
    train, test, classes = read_clips(f"folder:{tmp_path / 'videos'}", frames=3, size=16, views=2)
    assert (len(train), len(test), classes) == (16, 4, 2)
    batch = test.take(np.arange(4))
    assert batch["clip"].shape == (4, 3, 16, 16, 3)
    assert batch["label"].tolist() == [0, 0, 1, 1] == (batch["clip"][:, 0, 0, 0, 0] > 128).tolist()


def test_one_person_is_left_out(tmp_path):
    path = tmp_path / "masks.npz"
    masks = np.zeros((6, 144, 180), np.uint8)
    masks[:, 50:90, 60:80] = 1
    np.savez(
        path,
        bits=np.packbits(masks.reshape(6, -1), axis=1),
        shape=[144, 180],
        length=[2, 2, 2],
        person=["ido", "ira", "ido"],
        action=["run", "run", "wave"],
    )
    train, test, classes = read_clips(f"weizmann:{path}", frames=2, size=32, held_out="ira")
    assert (len(train), len(test), classes) == (2, 1, 2)
    with pytest.raises(UnknownNameError, match="unknown person 'daria'"):
        read_clips(f"weizmann:{path}", frames=2)
    with pytest.raises(JaxnetsError, match="--dataset must be motion"):
        read_clips("kinetics", frames=2)
