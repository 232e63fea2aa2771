"""Networks that tell where a person's joints are."""

from jaxnets.models.pose.deep_pose import DeepPose, deep_pose
from jaxnets.models.pose.heat_maps import HeatMapPose, heat_map_pose

__all__ = ["DeepPose", "HeatMapPose", "deep_pose", "heat_map_pose"]
