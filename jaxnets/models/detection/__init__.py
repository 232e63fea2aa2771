"""Networks that find objects: losses and detections are pure functions beside them."""

from jaxnets.models.detection.anchor_sets import AnchorShapes, DefaultBoxes, fit_anchor_shapes
from jaxnets.models.detection.darknet import Darknet, Section, parse_cfg, yolo_detections
from jaxnets.models.detection.fcos import (
    FCOS,
    FCOSOutputs,
    fcos_detections,
    fcos_losses,
    fcos_matches,
    fcos_resnet50_fpn,
)
from jaxnets.models.detection.levels import best_of_levels
from jaxnets.models.detection.pyramid import FeaturePyramid, resnet_pyramid
from jaxnets.models.detection.region_proposals import (
    Proposals,
    RegionProposalNetwork,
    RPNOutputs,
    propose,
    rpn_losses,
)
from jaxnets.models.detection.retinanet import (
    RetinaNet,
    RetinaNetOutputs,
    focal_loss,
    retinanet_detections,
    retinanet_losses,
    retinanet_resnet50_fpn,
)
from jaxnets.models.detection.small_ssd import TopDown, small_ssd
from jaxnets.models.detection.ssd import SSD, SSDOutputs, ssd_detections, ssd_losses
from jaxnets.models.detection.ssd300 import SSDVGG, ssd300_vgg16
from jaxnets.models.detection.ssdlite import SSDLiteMobileNet, ssdlite320_mobilenet_v3_large
from jaxnets.models.detection.targets import mean_losses

__all__ = [
    "FCOS",
    "SSD",
    "SSDVGG",
    "AnchorShapes",
    "Darknet",
    "DefaultBoxes",
    "FCOSOutputs",
    "FeaturePyramid",
    "Proposals",
    "RPNOutputs",
    "RegionProposalNetwork",
    "RetinaNet",
    "RetinaNetOutputs",
    "SSDLiteMobileNet",
    "SSDOutputs",
    "Section",
    "TopDown",
    "best_of_levels",
    "fcos_detections",
    "fcos_losses",
    "fcos_matches",
    "fcos_resnet50_fpn",
    "fit_anchor_shapes",
    "focal_loss",
    "mean_losses",
    "parse_cfg",
    "propose",
    "resnet_pyramid",
    "retinanet_detections",
    "retinanet_losses",
    "retinanet_resnet50_fpn",
    "rpn_losses",
    "small_ssd",
    "ssd300_vgg16",
    "ssd_detections",
    "ssd_losses",
    "ssdlite320_mobilenet_v3_large",
    "yolo_detections",
]
