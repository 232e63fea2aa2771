"""Metrics: predictions and labels in, numbers to report out."""

from jaxnets.metrics.attention import diagonal_mass
from jaxnets.metrics.calibration import (
    Reliability,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from jaxnets.metrics.classification import accuracy, confusion_matrix, top_k_accuracy
from jaxnets.metrics.coco import CocoEvaluator, evaluate_coco, keypoint_sigmas
from jaxnets.metrics.dead_units import DeadUnitMonitor, alive_units, dead_ratio
from jaxnets.metrics.detection_confusion import detection_confusion
from jaxnets.metrics.image_quality import psnr, ssim
from jaxnets.metrics.pose import keypoint_hits, pck, torso_size
from jaxnets.metrics.proposals import ProposalQuality, proposal_quality, proposal_recall
from jaxnets.metrics.segmentation import iou_of_classes, segmentation_summary
from jaxnets.metrics.templates import TemplatePlane, template_plane, within_between_ratio
from jaxnets.metrics.text import (
    Bleu,
    character_error_rate,
    cider,
    corpus_bleu,
    vqa_accuracy,
    word_error_rate,
)
from jaxnets.metrics.tracking import success_curve
from jaxnets.metrics.video import (
    ACTIVITYNET_THRESHOLDS,
    ava_average_precision,
    temporal_average_precision,
    temporal_iou,
    video_accuracy,
    video_predictions,
)
from jaxnets.metrics.voc import VocEvaluator, average_precision

__all__ = [
    "ACTIVITYNET_THRESHOLDS",
    "Bleu",
    "CocoEvaluator",
    "DeadUnitMonitor",
    "ProposalQuality",
    "Reliability",
    "TemplatePlane",
    "VocEvaluator",
    "accuracy",
    "alive_units",
    "ava_average_precision",
    "average_precision",
    "character_error_rate",
    "cider",
    "confusion_matrix",
    "corpus_bleu",
    "dead_ratio",
    "detection_confusion",
    "diagonal_mass",
    "evaluate_coco",
    "expected_calibration_error",
    "fit_temperature",
    "iou_of_classes",
    "keypoint_hits",
    "keypoint_sigmas",
    "pck",
    "proposal_quality",
    "proposal_recall",
    "psnr",
    "reliability",
    "segmentation_summary",
    "ssim",
    "success_curve",
    "template_plane",
    "temporal_average_precision",
    "temporal_iou",
    "top_k_accuracy",
    "torso_size",
    "video_accuracy",
    "video_predictions",
    "vqa_accuracy",
    "within_between_ratio",
    "word_error_rate",
]
