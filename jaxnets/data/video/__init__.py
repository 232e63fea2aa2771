"""Videos: files decoded to arrays, lists of data sets, clips out of videos, generated clips."""

from jaxnets.data.video.activities import activity_sequences, read_features, stretch
from jaxnets.data.video.decode import Video, VideoError, cached_video, read_video, write_video
from jaxnets.data.video.events import synthetic_events
from jaxnets.data.video.keyframes import KeyframeSource, keyframe_indices, read_action_names
from jaxnets.data.video.lists import (
    LabeledVideo,
    VideoList,
    read_activitynet,
    read_ava,
    read_hmdb51,
    read_kinetics,
    read_ucf101,
    read_video_folder,
)
from jaxnets.data.video.people import PEOPLE_ACTIONS, synthetic_people
from jaxnets.data.video.sampling import (
    clip_indices,
    dense_starts,
    last_start,
    random_start,
    segment_indices,
    uniform_starts,
)
from jaxnets.data.video.silhouettes import Silhouettes, read_weizmann
from jaxnets.data.video.source import ClipSource
from jaxnets.data.video.synthetic import DIRECTIONS, motion_suite, moving_digits

__all__ = [
    "DIRECTIONS",
    "PEOPLE_ACTIONS",
    "ClipSource",
    "KeyframeSource",
    "LabeledVideo",
    "Silhouettes",
    "Video",
    "VideoError",
    "VideoList",
    "activity_sequences",
    "cached_video",
    "clip_indices",
    "dense_starts",
    "keyframe_indices",
    "last_start",
    "motion_suite",
    "moving_digits",
    "random_start",
    "read_action_names",
    "read_activitynet",
    "read_ava",
    "read_features",
    "read_hmdb51",
    "read_kinetics",
    "read_ucf101",
    "read_video",
    "read_video_folder",
    "read_weizmann",
    "segment_indices",
    "stretch",
    "synthetic_events",
    "synthetic_people",
    "uniform_starts",
    "write_video",
]
