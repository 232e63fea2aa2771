"""What to train for: one task a file, with its recipe, its report and its predictor."""

from jaxnets.tasks.classification import classification
from jaxnets.tasks.classifier import Classifier, ClassifierInfo, load_classifier
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.sequence import language_modeling, sequence_regression
from jaxnets.tasks.training import train_classifier

__all__ = [
    "Classifier",
    "ClassifierInfo",
    "Recipe",
    "classification",
    "language_modeling",
    "load_classifier",
    "sequence_regression",
    "train_classifier",
]
