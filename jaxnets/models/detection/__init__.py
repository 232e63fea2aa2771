"""Networks that find objects: losses and detections are pure functions beside them."""

from jaxnets.models.detection.darknet import Darknet, Section, parse_cfg, yolo_detections

__all__ = ["Darknet", "Section", "parse_cfg", "yolo_detections"]
