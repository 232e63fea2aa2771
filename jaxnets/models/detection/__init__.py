"""Networks that find objects: losses and detections are pure functions beside them."""

from jaxnets.models.detection.anchor_sets import AnchorShapes, DefaultBoxes, fit_anchor_shapes
from jaxnets.models.detection.darknet import Darknet, Section, parse_cfg, yolo_detections
from jaxnets.models.detection.fast_rcnn import (
    FastRCNN,
    fast_rcnn_losses,
    fast_rcnn_vgg16,
    spread_regions,
)
from jaxnets.models.detection.fasterrcnn import (
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
    mobilenet_pyramid,
    pooled_pyramid,
)
from jaxnets.models.detection.fastestdet import (
    FastestDet,
    FastestDetOutputs,
    fastestdet,
    fastestdet_boxes,
    fastestdet_detections,
)
from jaxnets.models.detection.fastestdet_losses import fastestdet_losses
from jaxnets.models.detection.fcos import (
    FCOS,
    FCOSOutputs,
    fcos_detections,
    fcos_losses,
    fcos_matches,
    fcos_resnet50_fpn,
)
from jaxnets.models.detection.keypointrcnn import keypointrcnn_resnet50_fpn
from jaxnets.models.detection.levels import best_of_levels
from jaxnets.models.detection.localizer import (
    Localizer,
    LocalizerOutputs,
    localizer_boxes,
    localizer_detections,
    localizer_losses,
    localizer_places,
)
from jaxnets.models.detection.maskrcnn import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from jaxnets.models.detection.multibox import (
    MultiBox,
    MultiBoxOutputs,
    box_priors,
    multibox_detections,
    multibox_googlenet,
    multibox_losses,
    uniform_boxes,
)
from jaxnets.models.detection.overfeat_boxes import (
    overfeat_detections,
    overfeat_losses,
    overfeat_windows,
)
from jaxnets.models.detection.pyramid import FeaturePyramid, resnet_pyramid
from jaxnets.models.detection.rcnn import RCNN, RCNNOutputs
from jaxnets.models.detection.rcnn_losses import RCNNDetections, rcnn_detections, rcnn_losses
from jaxnets.models.detection.region_heads import BoxHead, KeypointHead, MaskHead
from jaxnets.models.detection.region_keypoints import find_keypoints, keypoint_loss
from jaxnets.models.detection.region_masks import crop_masks, mask_loss
from jaxnets.models.detection.region_proposals import (
    Proposals,
    RegionHead,
    RegionProposalNetwork,
    RPNOutputs,
    propose,
    rpn_losses,
)
from jaxnets.models.detection.regions import (
    DrawnRegions,
    FoundRegions,
    RegionRules,
    draw_regions,
    match_regions,
    select_regions,
)
from jaxnets.models.detection.retinanet import (
    RetinaNet,
    RetinaNetOutputs,
    focal_loss,
    retinanet_detections,
    retinanet_losses,
    retinanet_resnet50_fpn,
)
from jaxnets.models.detection.slim_face import SlimFace, ssd_slim_face
from jaxnets.models.detection.small_fast_rcnn import small_fast_rcnn
from jaxnets.models.detection.small_overfeat import (
    OverFeatPyramid,
    pyramid_windows,
    small_overfeat,
)
from jaxnets.models.detection.small_rcnn import small_rcnn
from jaxnets.models.detection.small_ssd import TopDown, small_ssd
from jaxnets.models.detection.small_yolo import GridDetector, small_yolo, yolo_sections
from jaxnets.models.detection.ssd import SSD, SSDOutputs, ssd_detections, ssd_losses
from jaxnets.models.detection.ssd300 import SSDVGG, ssd300_vgg16
from jaxnets.models.detection.ssd_mobilenet import (
    SSDMobileNet,
    mobilenet_ssd_anchors,
    ssd300_mobilenet_v1,
)
from jaxnets.models.detection.ssdlite import SSDLiteMobileNet, ssdlite320_mobilenet_v3_large
from jaxnets.models.detection.targets import mean_losses
from jaxnets.models.detection.yolo import YOLO, yolov2, yolov3, yolov3_tiny
from jaxnets.models.detection.yolo_losses import yolo_losses
from jaxnets.models.detection.yolo_v1 import (
    YOLOv1,
    yolo_v1_boxes,
    yolo_v1_detections,
    yolo_v1_losses,
    yolov1,
)

__all__ = [
    "FCOS",
    "RCNN",
    "SSD",
    "SSDVGG",
    "YOLO",
    "AnchorShapes",
    "BoxHead",
    "Darknet",
    "DefaultBoxes",
    "DrawnRegions",
    "FCOSOutputs",
    "FastRCNN",
    "FastestDet",
    "FastestDetOutputs",
    "FeaturePyramid",
    "FoundRegions",
    "GridDetector",
    "KeypointHead",
    "Localizer",
    "LocalizerOutputs",
    "MaskHead",
    "MultiBox",
    "MultiBoxOutputs",
    "OverFeatPyramid",
    "Proposals",
    "RCNNDetections",
    "RCNNOutputs",
    "RPNOutputs",
    "RegionHead",
    "RegionProposalNetwork",
    "RegionRules",
    "RetinaNet",
    "RetinaNetOutputs",
    "SSDLiteMobileNet",
    "SSDMobileNet",
    "SSDOutputs",
    "Section",
    "SlimFace",
    "TopDown",
    "YOLOv1",
    "best_of_levels",
    "box_priors",
    "crop_masks",
    "draw_regions",
    "fast_rcnn_losses",
    "fast_rcnn_vgg16",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fastestdet",
    "fastestdet_boxes",
    "fastestdet_detections",
    "fastestdet_losses",
    "fcos_detections",
    "fcos_losses",
    "fcos_matches",
    "fcos_resnet50_fpn",
    "find_keypoints",
    "fit_anchor_shapes",
    "focal_loss",
    "keypoint_loss",
    "keypointrcnn_resnet50_fpn",
    "localizer_boxes",
    "localizer_detections",
    "localizer_losses",
    "localizer_places",
    "mask_loss",
    "maskrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn_v2",
    "match_regions",
    "mean_losses",
    "mobilenet_pyramid",
    "mobilenet_ssd_anchors",
    "multibox_detections",
    "multibox_googlenet",
    "multibox_losses",
    "overfeat_detections",
    "overfeat_losses",
    "overfeat_windows",
    "parse_cfg",
    "pooled_pyramid",
    "propose",
    "pyramid_windows",
    "rcnn_detections",
    "rcnn_losses",
    "resnet_pyramid",
    "retinanet_detections",
    "retinanet_losses",
    "retinanet_resnet50_fpn",
    "rpn_losses",
    "select_regions",
    "small_fast_rcnn",
    "small_overfeat",
    "small_rcnn",
    "small_ssd",
    "small_yolo",
    "spread_regions",
    "ssd300_mobilenet_v1",
    "ssd300_vgg16",
    "ssd_detections",
    "ssd_losses",
    "ssd_slim_face",
    "ssdlite320_mobilenet_v3_large",
    "uniform_boxes",
    "yolo_detections",
    "yolo_losses",
    "yolo_sections",
    "yolo_v1_boxes",
    "yolo_v1_detections",
    "yolo_v1_losses",
    "yolov1",
    "yolov2",
    "yolov3",
    "yolov3_tiny",
]
