"""Clips of videos: sampling, files good and bad, lists of data sets, generated clips."""

import wave
from fractions import Fraction

import numpy as np
import pytest

from jaxnets.data.video import (
    ClipSource,
    VideoError,
    cached_video,
    clip_indices,
    dense_starts,
    motion_suite,
    moving_digits,
    random_start,
    read_activitynet,
    read_ava,
    read_hmdb51,
    read_kinetics,
    read_ucf101,
    read_video,
    read_video_folder,
    read_weizmann,
    segment_indices,
    uniform_starts,
    write_video,
)
from jaxnets.errors import JaxnetsError

# ---- sampling ------------------------------------------------------------------------------------


def test_clips_lie_inside_or_are_looped():
    random = np.random.default_rng(0)
    for length in (1, 5, 31, 32, 100):
        starts = {random_start(random, length, 8, 4) for _ in range(1500)}
        assert starts == set(range(max(length - 28, 1)))
        for start in starts:
            found = clip_indices(length, start, 8, 4)
            assert found.min() >= 0 and found.max() < length
            if length >= 29:
                np.testing.assert_array_equal(np.diff(found), 4)
    assert clip_indices(3, 1, 7).tolist() == [1, 2, 0, 1, 2, 0, 1]
    # 16 frames of 112×112: the bytes of the lecture's clip.
    assert np.zeros((16, 112, 112, 3), np.uint8).nbytes == 602_112
    with pytest.raises(ValueError, match="start: got 5"):
        clip_indices(5, 5, 1)
    with pytest.raises(ValueError, match="at least 1 frame"):
        uniform_starts(0, 1, 1)


def test_uniform_dense_and_segment_sampling():
    assert uniform_starts(300, 10, 32, 2).tolist() == [0, 26, 52, 79, 105, 131, 158, 184, 210, 237]
    assert dense_starts(300, 16, step=8)[-1] + 16 <= 300
    middle = segment_indices(None, 90, 3)
    assert middle.tolist() == [15, 45, 75]
    drawn = np.stack([segment_indices(np.random.default_rng(s), 90, 3) for s in range(50)])
    assert (drawn // 30 == [0, 1, 2]).all() and len(np.unique(drawn[:, 0])) > 10
    assert segment_indices(None, 2, 4).tolist() == [0, 0, 1, 1]


def test_views_of_a_source_are_all_there_and_stay_the_same():
    videos = [np.arange(n, dtype=np.uint8)[:, None, None, None] for n in (40, 6)]
    said = []
    source = ClipSource(videos, [1, 0], frames=4, stride=3, views=3, notify=said.append)
    assert said == ["1 of 2 videos have fewer than the 10 frames that a clip spans and are looped"]
    batch = source.take(np.arange(6))
    assert batch["video_id"].tolist() == [0, 0, 0, 1, 1, 1]
    assert batch["label"].tolist() == [1, 1, 1, 0, 0, 0]
    assert batch["clip"][:, :, 0, 0, 0].tolist()[:4] == [
        [0, 3, 6, 9],
        [15, 18, 21, 24],
        [30, 33, 36, 39],
        [0, 3, 0, 3],
    ]
    with pytest.raises(ValueError, match="of one size"):
        ClipSource([np.zeros((3, 2, 2, 1)), np.zeros((3, 4, 4, 1))], [0, 1], frames=1)


# ---- files ---------------------------------------------------------------------------------------


def gray_frames(count, size=(32, 48)):
    """Frame k has the gray level 10 · k, which survives the codec."""
    return np.stack([np.full((*size, 3), 10 * k, np.uint8) for k in range(count)])


def levels(video):
    return np.rint(video.frames.mean((1, 2, 3)) / 10).astype(int).tolist()


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "gray.mp4", gray_frames(20), fps=10)


def test_frames_come_in_order_and_at_any_rate(gray):
    video = read_video(gray)
    assert video.frames.shape == (20, 32, 48, 3) and levels(video) == list(range(20))
    assert video.fps == pytest.approx(10) and video.complete
    assert levels(read_video(gray, fps=5)) == list(range(0, 20, 2))
    assert levels(read_video(gray, fps=20))[:6] == [0, 0, 1, 1, 2, 2]
    assert read_video(gray, short_side=16, max_frames=3).frames.shape == (3, 16, 24, 3)


def test_a_variable_frame_rate_is_sampled_by_time(tmp_path):
    import av

    path, times = tmp_path / "variable.mkv", [0, 100, 200, 1000, 1100]  # milliseconds
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, time in zip(gray_frames(5), times, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert len(read_video(path).frames) == 5
    # Frame 2 is shown for 0.8 seconds.
    assert levels(read_video(path, fps=5)) == [0, 2, 2, 2, 2, 3]


def test_a_phone_s_video_is_turned_upright(tmp_path):
    """The header asks for a quarter turn to the right: what is written on the left comes up."""
    frames = np.zeros((4, 32, 64, 3), np.uint8)
    frames[:, :, :32] = 200
    path = write_video(tmp_path / "phone.mp4", frames)
    one = bytes([0, 1, 0, 0])
    upright = one + bytes(12) + one + bytes(12) + bytes([64, 0, 0, 0])
    minus = bytes([255, 255, 0, 0])
    turned = bytes(4) + one + bytes(4) + minus + bytes(16) + bytes([64, 0, 0, 0])
    data = path.read_bytes()
    place = data.rfind(upright)  # the track's matrix, behind that of the whole film
    assert place > 0 and len(turned) == len(upright) == 36
    path.write_bytes(data[:place] + turned + data[place + 36 :])
    video = read_video(path)
    assert video.frames.shape == (4, 64, 32, 3)
    assert video.frames[0, :30].mean() > 150 and video.frames[0, 34:].mean() < 50


def test_files_that_are_no_videos_are_named(tmp_path, gray):
    with pytest.raises(VideoError, match="no such file"):
        read_video(tmp_path / "nothing.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    with pytest.raises(VideoError, match="no video that can be read"):
        read_video(text)
    sound = tmp_path / "sound.wav"
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))
    with pytest.raises(VideoError, match="has no video stream, only audio"):
        read_video(sound)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(gray.read_bytes()[:200])
    with pytest.raises(VideoError, match=r"cut\.mp4"):
        read_video(cut)


def test_a_truncated_file_gives_what_is_there_and_says_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (30, 64, 64, 3)).astype(np.uint8)
    path = write_video(tmp_path / "whole.avi", noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    said = []
    video = read_video(path, notify=said.append)
    assert 5 < len(video.frames) < 25 and not video.complete
    assert said == [f"{path}: the file is cut off; its first {len(video.frames)} frames were read"]


def test_odd_sizes_and_bad_frames(tmp_path):
    path = write_video(tmp_path / "odd.mp4", np.zeros((2, 33, 47, 3), np.uint8))
    assert read_video(path).frames.shape == (2, 32, 46, 3)
    assert read_video(path, short_side=15).frames.shape == (2, 15, 22, 3)
    with pytest.raises(ValueError, match=r"expected uint8 \(T, H, W, 3\)"):
        write_video(path, np.zeros((2, 4, 4, 3)))


def test_decoding_happens_once(gray, tmp_path, monkeypatch):
    first = cached_video(gray, fps=5, cache_dir=tmp_path)
    from jaxnets.data.video import decode

    def broken(*args, **kwargs):
        raise AssertionError("decoded again")

    monkeypatch.setattr(decode, "read_video", broken)
    again = cached_video(gray, fps=5, cache_dir=tmp_path)
    assert isinstance(again.frames, np.memmap) and again.complete
    np.testing.assert_array_equal(again.frames, first.frames)
    with pytest.raises(AssertionError, match="decoded again"):
        cached_video(gray, fps=10, cache_dir=tmp_path)


# ---- lists ---------------------------------------------------------------------------------------


def test_rows_that_name_missing_files_are_listed(tmp_path):
    (tmp_path / "yoga").mkdir()
    (tmp_path / "yoga" / "abc.mp4").touch()
    rows = ["label,youtube_id,time_start,time_end,split", "yoga,abc,1,11,train"]
    rows += ["running,gone,5,15,train"]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(JaxnetsError, match=r"1 rows name .* line 3: gone_000005_000015\.mp4"):
        read_kinetics(path, tmp_path)
    said = []
    found = read_kinetics(path, tmp_path, skip_missing=True, notify=said.append)
    assert found.classes == ("running", "yoga") and found.videos[0].label == 1 and len(said) == 1
    with pytest.raises(JaxnetsError, match="line 3: the class 'running' is not known"):
        read_kinetics(path, tmp_path, classes=["yoga"])
    path.write_text(rows[0] + "\nyoga,abc,x,11,train")
    with pytest.raises(JaxnetsError, match="line 2: time_start is no number: 'x'"):
        read_kinetics(path, tmp_path)
    path.write_text("label,youtube_id\nyoga,abc")
    with pytest.raises(JaxnetsError, match=r"\['time_start', 'time_end'\] are missing"):
        read_kinetics(path, tmp_path)
    assert read_video_folder(tmp_path).classes == ("yoga",)
    with pytest.raises(JaxnetsError, match="expected a folder of videos"):
        read_video_folder(tmp_path / "yoga")


def test_splits_of_ucf101_and_hmdb51(tmp_path):
    (tmp_path / "Yoga").mkdir()
    for name in ("a.avi", "b.avi"):
        (tmp_path / "Yoga" / name).touch()
    (tmp_path / "classInd.txt").write_text("1 Archery\n2 Yoga\n")
    ucf = tmp_path / "trainlist01.txt"
    ucf.write_text("Yoga/a.avi 2\nYoga/b.avi 2\n")
    found = read_ucf101(ucf, tmp_path, class_file=tmp_path / "classInd.txt")
    assert [v.label for v in found.videos] == [1, 1]
    ucf.write_text("Sleep/a.avi 1\n")
    with pytest.raises(JaxnetsError, match="'Sleep' is not in"):
        read_ucf101(ucf, tmp_path, class_file=tmp_path / "classInd.txt")
    hmdb = tmp_path / "Yoga_test_split2.txt"
    hmdb.write_text("a.avi 1\nb.avi 0\n")
    found = read_hmdb51(tmp_path, tmp_path, split=2)
    assert len(found["train"].videos) == 1 and not found["test"].videos
    hmdb.write_text("a.avi\n")
    with pytest.raises(JaxnetsError, match=r"line 1: expected 'FILE 0\|1\|2'"):
        read_hmdb51(tmp_path, tmp_path, split=2)
    with pytest.raises(JaxnetsError, match="no file CLASS_test_split3"):
        read_hmdb51(tmp_path, tmp_path, split=3)


def test_annotations_of_ava_and_activitynet(tmp_path):
    path = tmp_path / "ava.csv"
    path.write_text("a,0902,0.1,0.2,0.3,0.4,12,0\nb,0903,,,,,,\n")
    rows = read_ava(path)
    assert rows[0]["box"] == (0.1, 0.2, 0.3, 0.4) and rows[1]["action"] is None
    path.write_text("a,0902,0.1,0.2,0.3,0.4,12,0.75\n")
    assert read_ava(path, scored=True)[0]["score"] == 0.75
    path.write_text("a,0902,0.1,left,0.3,0.4,12,0\n")
    with pytest.raises(JaxnetsError, match="line 1: expected video,second"):
        read_ava(path)
    path = tmp_path / "activitynet.json"
    path.write_text('{"database": {"x": {"annotations": [{"segment": [3, 1], "label": "run"}]}}}')
    with pytest.raises(JaxnetsError, match=r"'run' ends at 1\.0, before 3\.0"):
        read_activitynet(path)
    path.write_text("[1]")
    with pytest.raises(JaxnetsError, match="no ActivityNet annotation"):
        read_activitynet(path)


# ---- generated clips -----------------------------------------------------------------------------


def test_a_single_frame_says_nothing_of_the_direction():
    """Without noise the set of frames of a direction is that of every other, shift by shift."""
    clips = motion_suite(np.random.default_rng(0), 64, noise=0, frames=5)
    moved = clips["clip"][..., 0].astype(int)
    steps = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[clips["direction"]]
    for clip, step in zip(moved, steps, strict=True):
        for t in range(4):
            np.testing.assert_array_equal(clip[t + 1], np.roll(clip[t], step, (0, 1)))
    bright = (moved[:, 0] - 128).mean((1, 2)) > 0
    np.testing.assert_array_equal(bright, clips["appearance"] == 1)
    np.testing.assert_array_equal(clips["both"], 2 * clips["direction"] + clips["appearance"])
    with pytest.raises(ValueError, match="motion_suite: expected"):
        motion_suite(np.random.default_rng(0), 1, speed=9)


def test_moving_digits_stay_inside_and_keep_their_brightness():
    digits = np.full((2, 5, 5), 200, np.uint8)
    clips, which = moving_digits(np.random.default_rng(1), digits, 3, frames=40, size=20, digits=1)
    assert which.shape == (3, 1)
    np.testing.assert_array_equal((clips == 200).sum((2, 3, 4)), 25)
    # They move; only where one turns round may two neighbors be alike.
    assert (clips[:, 1:] != clips[:, :-1]).any((2, 3, 4)).mean() > 0.9
    with pytest.raises(ValueError, match="smaller than the square"):
        moving_digits(np.random.default_rng(1), digits, 1, size=5)


def test_silhouettes_follow_sideways_and_have_one_height(tmp_path):
    """Of three videos: one moves sideways, one jumps, one is twice as tall."""
    masks = np.zeros((8, 144, 180), np.uint8)
    masks[0, 40:80, 15:35] = masks[1, 40:80, 140:160] = 1
    masks[2, 40:80, 40:60] = masks[3, 40:80, 41:61] = masks[4, 30:70, 42:62] = 1
    masks[5:7, 30:110, 60:100] = 1
    path = tmp_path / "masks.npz"
    np.savez(
        path,
        bits=np.packbits(masks.reshape(8, -1), axis=1),
        shape=[144, 180],
        length=[2, 3, 2, 1],
        person=["b", "a", "a", "a"],
        action=["run", "jump", "run", "run"],
    )
    found = read_weizmann(path, size=30)
    sideways, jumps, tall, nobody = (video[..., 0] for video in found.videos)
    # A person's height is 2 / 1.5 of the half.
    inside = np.zeros((30, 30))
    inside[5:25, 10:20] = 255
    for pictures in (sideways, tall):
        np.testing.assert_array_equal(pictures[0], pictures[1])
        assert np.abs(pictures[0] - inside).mean() < 10
        assert pictures[0].mean() == pytest.approx(inside.mean(), rel=0.02)
    np.testing.assert_array_equal(jumps[0], sideways[0])
    np.testing.assert_array_equal(jumps[0], jumps[1])
    np.testing.assert_allclose(jumps[2, :-5], jumps[0, 5:], atol=1)  # 10 of 60 pixels higher.
    assert not nobody.any()
    assert (found.actions, found.names) == (("jump", "run"), ("a", "b"))
    with pytest.raises(ValueError, match="size: got 0"):
        read_weizmann(path, size=0)
    with pytest.raises(JaxnetsError, match="no masks"):
        read_weizmann(tmp_path / "nothing.npz")


def test_ten_views_in_time_by_three_along_the_longer_side():
    """Every pixel says where and when it is; videos of several sizes, upright and lying."""
    grid = np.arange(60, dtype=np.uint8)
    lying = np.broadcast_to(grid[None, None, :12, None], (40, 8, 12, 1))
    upright = np.broadcast_to(grid[None, :14, None, None], (40, 14, 8, 1))
    moving = np.broadcast_to(grid[:40, None, None, None], (40, 8, 8, 1))
    options = {"frames": 4, "views": 10, "crop": 8, "crops": 3}
    source = ClipSource([lying, upright, moving], [0, 1, 2], **options)
    assert len(source) == 90
    batch = source.take(np.arange(90))
    assert batch["clip"].shape == (90, 4, 8, 8, 1)
    assert batch["video_id"].tolist() == [0] * 30 + [1] * 30 + [2] * 30
    corners = batch["clip"][:, 0, 0, 0, 0]
    assert corners[:6].tolist() == [0, 2, 4] * 2 and corners[30:36].tolist() == [0, 3, 6] * 2
    # All three squares of a square video are the same; times are those of ten even clips.
    assert corners[60:].tolist() == [start for start in range(0, 37, 4) for _ in range(3)]
    middle = ClipSource([lying], [0], frames=4, crop=8).take(np.arange(1))
    assert middle["clip"][0, 0, 0, 0, 0] == 2


def test_crops_that_do_not_fit_are_said():
    video = np.zeros((5, 8, 12, 1), np.uint8)
    for crop in (9, 0):
        with pytest.raises(ValueError, match=f"at most the shorter side .*, got {crop}"):
            ClipSource([video], [0], frames=2, crop=crop)
    for options in ({"crops": 2, "crop": 8}, {"crops": 3}):
        with pytest.raises(ValueError, match="crops: expected 1, or 3 with crop="):
            ClipSource([video], [0], frames=2, **options)
