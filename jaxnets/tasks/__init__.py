"""What to train for: one task a file, with its recipe, its report and its predictor."""

from jaxnets.tasks.classifier import Classifier, ClassifierInfo, load_classifier
from jaxnets.tasks.recipe import Recipe

__all__ = ["Classifier", "ClassifierInfo", "Recipe", "load_classifier"]
