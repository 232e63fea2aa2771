"""Video files as arrays: decoded by PyAV (extra ``[video]``), upright, by time, and cached.

Frames are chosen by their times, so that a file whose rate varies is sampled evenly all the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.data.cache import allocate, default_cache_dir, open_or_build
from jaxnets.errors import JaxnetsError


class VideoError(JaxnetsError, ValueError):
    """A file that gives no frames."""


class Video(NamedTuple):
    """Decoded frames.

    Attributes:
        frames: (T, H, W, 3) uint8, upright.
        times: (T,) seconds from the first frame.
        complete: False where the file ends in the middle of its data.

    >>> video = Video(np.zeros((4, 2, 2, 3), np.uint8), np.arange(4) / 25, True)
    >>> video.fps
    25.0
    """

    frames: np.ndarray
    times: np.ndarray
    complete: bool

    @property
    def fps(self) -> float:
        """Frames a second on average; 0 where there is one frame only."""
        span = float(self.times[-1] - self.times[0])
        return (len(self.times) - 1) / span if span > 0 else 0.0


def read_video(
    path: str | Path,
    *,
    fps: float | None = None,
    short_side: int | None = None,
    max_frames: int | None = None,
    notify: Callable[[str], Any] = print,
) -> Video:
    """Decode a video file.

    A phone's video is turned upright. Of a truncated file what is there is returned, and said.

    Args:
        path: whatever FFmpeg reads.
        fps: frames a second: frame k is the one that is shown at the time k / fps. None: all
            frames as they are, at whatever times.
        short_side: pixels of the shorter side; the other one follows. None: as in the file.
        max_frames: stop after so many.
        notify: called with a sentence about a file that is not complete.

    Returns:
        `Video`.

    Raises:
        VideoError: no such file, not a video, no video stream (sound only), or not one frame.
        JaxnetsError: PyAV is not installed.

    Example: (writes a small file first)

        >>> import tempfile
        >>> frames = np.full((5, 16, 24, 3), 128, np.uint8)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_video(Path(folder) / "gray.mp4", frames, fps=10)
        ...     video = read_video(path)
        >>> video.frames.shape, round(video.fps), video.complete
        ((5, 16, 24, 3), 10, True)
    """
    av = _av()
    path = Path(path)
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file")
    frames: list[np.ndarray] = []
    times: list[float] = []
    complete = True
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                kinds = sorted({stream.type for stream in container.streams})
                raise VideoError(
                    f"{path}: has no video stream, only {', '.join(kinds) or 'nothing'}"
                )
            container.streams.video[0].thread_type = "AUTO"
            try:
                _collect(container, frames, times, fps, short_side, max_frames)
            except av.error.FFmpegError:
                complete = False
            complete &= not _ends_early(container, times, fps, max_frames)
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: is no video that can be read ({error.strerror})") from None
    if not frames:
        raise VideoError(f"{path}: not one frame could be decoded; the file may be cut off")
    if not complete:
        notify(f"{path}: the file is cut off; its first {len(frames)} frames were read")
    return Video(np.stack(frames), np.array(times) - times[0], complete)


def _collect(container, frames, times, fps, short_side, max_frames) -> None:
    """Decode into the lists, frame by frame, so that what came before a fault is kept."""
    first, before, time = None, None, 0.0
    for frame in container.decode(video=0):
        time = float(frame.time if frame.time is not None else len(times))
        first = time if first is None else first
        if fps is None:
            frames.append(_upright(frame, short_side))
            times.append(time)
        else:
            # The frame before is shown until this one comes.
            while before is not None and first + len(times) / fps < time - 1e-6:
                frames.append(before)
                times.append(first + len(times) / fps)
                if max_frames and len(frames) >= max_frames:
                    return
            before = _upright(frame, short_side)
        if max_frames and len(frames) >= max_frames:
            return
    if before is not None and first + len(times) / fps <= time + 1e-6:
        frames.append(before)
        times.append(first + len(times) / fps)


def _ends_early(container, times, fps, max_frames) -> bool:
    """Whether the header promises much more than was decoded."""
    stream = container.streams.video[0]
    if fps is not None or not stream.frames or (max_frames and len(times) >= max_frames):
        return False
    return len(times) < 0.9 * stream.frames


def _upright(frame, short_side: int | None) -> np.ndarray:
    """A frame as (H, W, 3), turned as its file says and resized."""
    if short_side is not None:
        scale = short_side / min(frame.width, frame.height)
        width, height = round(frame.width * scale), round(frame.height * scale)
        frame = frame.reformat(width, height, interpolation="AREA" if scale < 1 else "BILINEAR")
    image = frame.to_ndarray(format="rgb24")
    # FFmpeg's angle is counterclockwise, as NumPy's.
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def cached_video(
    path: str | Path,
    *,
    fps: float | None = None,
    short_side: int | None = None,
    cache_dir: str | Path | None = None,
    notify: Callable[[str], Any] = print,
) -> Video:
    """`read_video`, decoded once: afterwards the frames are a memory map.

    Args:
        path, fps, short_side, notify: see `read_video`.
        cache_dir: default: "videos" in `jaxnets.data.cache.default_cache_dir`. An entry belongs to
            the file's path, length and time of change.

    Returns:
        `Video`, its frames read only, read from the disk as they are asked for.

    Raises:
        VideoError: see `read_video`.
        JaxnetsError: the cache cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_video(Path(folder) / "gray.mp4", np.zeros((3, 16, 16, 3), np.uint8))
    ...     video = cached_video(path, short_side=8, cache_dir=folder)
    ...     type(video.frames).__name__, video.frames.shape
    ('memmap', (3, 8, 8, 3))
    """
    import hashlib

    path = Path(path)
    if not path.is_file():
        raise VideoError(f"{path}: there is no such file")
    about = path.stat()
    asked = f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}|{fps}|{short_side}"
    folder = Path(cache_dir) if cache_dir is not None else default_cache_dir() / "videos"

    def build(entry: Path) -> dict[str, Any]:
        video = read_video(path, fps=fps, short_side=short_side, notify=notify)
        frames = allocate(entry / "frames.npy", video.frames.shape, np.uint8)
        frames[:] = video.frames
        frames.flush()
        np.save(entry / "times.npy", video.times)
        return {"complete": video.complete}

    entry = folder / hashlib.sha256(asked.encode()).hexdigest()[:24]
    arrays, facts = open_or_build(entry, build)
    return Video(arrays["frames"], np.asarray(arrays["times"]), bool(facts["complete"]))


def write_video(path: str | Path, frames: np.ndarray, *, fps: float = 25, codec: str = "mpeg4"):
    """Write frames as a video file, for figures and for tests.

    Args:
        path: its ending says the container, such as ".mp4".
        frames: (T, H, W, 3) uint8; an odd height or width loses its last row or column, which most
            codecs ask for.
        fps: frames a second.
        codec: one of FFmpeg's encoders.

    Returns:
        The path.

    Raises:
        ValueError: not such an array.
        JaxnetsError: PyAV is not installed, or the encoder is not there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_video(Path(folder) / "a.mp4", np.zeros((2, 16, 16, 3), np.uint8)).name
    'a.mp4'
    """
    av = _av()
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames: expected uint8 (T, H, W, 3), got {frames.dtype} {frames.shape}")
    frames = frames[:, : frames.shape[1] // 2 * 2, : frames.shape[2] // 2 * 2]
    from fractions import Fraction

    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for image in frames:
                image = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(image))
            container.mux(stream.encode())
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError) as error:
        raise JaxnetsError(f"{path}: cannot be written ({error})") from None
    return Path(path)


def _av():
    try:
        import av
    except ImportError:
        raise JaxnetsError("reading video files needs PyAV: pip install 'jaxnets[video]'") from None
    av.logging.set_level(av.logging.PANIC)
    return av
