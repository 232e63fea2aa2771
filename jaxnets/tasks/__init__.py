"""What to train for: one task a file, with its recipe, its report and its predictor."""

from jaxnets.tasks.classification import classification
from jaxnets.tasks.classifier import Classifier, ClassifierInfo, load_classifier
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.training import train_classifier

__all__ = [
    "Classifier",
    "ClassifierInfo",
    "Recipe",
    "classification",
    "load_classifier",
    "train_classifier",
]
