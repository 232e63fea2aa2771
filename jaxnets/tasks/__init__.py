"""What to train for: one task a file, with its recipe, its report and its predictor."""

from jaxnets.tasks.action_finder import (
    ActionFinder,
    ActionInfo,
    PersonActions,
    read_action_finder,
    small_action_detector,
)
from jaxnets.tasks.action_training import ActionRecipe, train_actions
from jaxnets.tasks.actions import action_detection
from jaxnets.tasks.classification import classification
from jaxnets.tasks.classifier import Classifier, ClassifierInfo, load_classifier
from jaxnets.tasks.default_recipes import apply_recipe, choose_recipe, list_recipes
from jaxnets.tasks.detection import detection
from jaxnets.tasks.detector import Detector, FoundObjects, load_detector
from jaxnets.tasks.detector_files import read_detector
from jaxnets.tasks.detector_info import DetectorInfo
from jaxnets.tasks.detector_training import DetectorRecipe, train_detector
from jaxnets.tasks.distillation import distillation, student_network, student_variables
from jaxnets.tasks.distillation_terms import (
    Term,
    attention,
    contrastive,
    hint,
    relational,
    soft_targets,
)
from jaxnets.tasks.fitnet import train_fitnet
from jaxnets.tasks.generations import tolerant_classification, train_generations
from jaxnets.tasks.localization import temporal_localization
from jaxnets.tasks.rcnn import RCNNRecipe, load_rcnn, train_rcnn
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.region_detector import RegionDetector
from jaxnets.tasks.region_ensemble import region_ensemble
from jaxnets.tasks.segmentation import segmentation
from jaxnets.tasks.segmenter import (
    Segmenter,
    SegmenterRecipe,
    draw_labels,
    load_segmenter,
    train_segmenter,
)
from jaxnets.tasks.sequence import language_modeling, sequence_labeling, sequence_regression
from jaxnets.tasks.teacher import CachedTeacher, Teacher
from jaxnets.tasks.training import Start, train_classifier
from jaxnets.tasks.video import (
    VideoScores,
    score_videos,
    separate_streams,
    video_classification,
)

__all__ = [
    "ActionFinder",
    "ActionInfo",
    "ActionRecipe",
    "CachedTeacher",
    "Classifier",
    "ClassifierInfo",
    "Detector",
    "DetectorInfo",
    "DetectorRecipe",
    "FoundObjects",
    "PersonActions",
    "RCNNRecipe",
    "Recipe",
    "RegionDetector",
    "Segmenter",
    "SegmenterRecipe",
    "Start",
    "Teacher",
    "Term",
    "VideoScores",
    "action_detection",
    "apply_recipe",
    "attention",
    "choose_recipe",
    "classification",
    "contrastive",
    "detection",
    "distillation",
    "draw_labels",
    "hint",
    "language_modeling",
    "list_recipes",
    "load_classifier",
    "load_detector",
    "load_rcnn",
    "load_segmenter",
    "read_action_finder",
    "read_detector",
    "region_ensemble",
    "relational",
    "score_videos",
    "segmentation",
    "separate_streams",
    "sequence_labeling",
    "sequence_regression",
    "small_action_detector",
    "soft_targets",
    "student_network",
    "student_variables",
    "temporal_localization",
    "tolerant_classification",
    "train_actions",
    "train_classifier",
    "train_detector",
    "train_fitnet",
    "train_generations",
    "train_rcnn",
    "train_segmenter",
    "video_classification",
]
