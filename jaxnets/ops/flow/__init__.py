"""Optical flow under jit: how far every pixel moves between two pictures."""

from jaxnets.ops.flow.encoding import (
    endpoint_error,
    flow_to_color,
    quantize_flow,
    subtract_mean_flow,
    unquantize_flow,
)
from jaxnets.ops.flow.methods import clip_flow, horn_schunck, lucas_kanade, tv_l1
from jaxnets.ops.flow.warping import warp

__all__ = [
    "clip_flow",
    "endpoint_error",
    "flow_to_color",
    "horn_schunck",
    "lucas_kanade",
    "quantize_flow",
    "subtract_mean_flow",
    "tv_l1",
    "unquantize_flow",
    "warp",
]
