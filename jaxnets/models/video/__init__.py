"""Networks for clips (N, T, H, W, C): from single frames to SlowFast."""

from jaxnets.models.video.action_detector import ActionDetector
from jaxnets.models.video.c3d import C3D, video_descriptor
from jaxnets.models.video.fusion import FrameFusion, frames_seen, log_mean_softmax
from jaxnets.models.video.gru_rcn import GRURCN
from jaxnets.models.video.i3d import I3D
from jaxnets.models.video.inflate import Inflated, inflate, inflate_kernel
from jaxnets.models.video.lrcn import LRCN
from jaxnets.models.video.non_local import NonLocal
from jaxnets.models.video.resnet3d import VideoResNet
from jaxnets.models.video.s3d import S3D
from jaxnets.models.video.slow import Slow
from jaxnets.models.video.slowfast import SlowFast, slow_frames
from jaxnets.models.video.tal_losses import tal_detections, tal_losses
from jaxnets.models.video.tal_net import Localized, SegmentTower, TALNet
from jaxnets.models.video.two_stream import FrameCNN, TwoStream, flow_stack

__all__ = [
    "C3D",
    "GRURCN",
    "I3D",
    "LRCN",
    "S3D",
    "ActionDetector",
    "FrameCNN",
    "FrameFusion",
    "Inflated",
    "Localized",
    "NonLocal",
    "SegmentTower",
    "Slow",
    "SlowFast",
    "TALNet",
    "TwoStream",
    "VideoResNet",
    "flow_stack",
    "frames_seen",
    "inflate",
    "inflate_kernel",
    "log_mean_softmax",
    "slow_frames",
    "tal_detections",
    "tal_losses",
    "video_descriptor",
]
