"""What to train for: one task a file, with its recipe, its report and its predictor."""

from jaxnets.tasks.classification import classification
from jaxnets.tasks.classifier import Classifier, ClassifierInfo, load_classifier
from jaxnets.tasks.default_recipes import apply_recipe, choose_recipe, list_recipes
from jaxnets.tasks.recipe import Recipe
from jaxnets.tasks.training import Start, train_classifier

__all__ = [
    "Classifier",
    "ClassifierInfo",
    "Recipe",
    "Start",
    "apply_recipe",
    "choose_recipe",
    "classification",
    "list_recipes",
    "load_classifier",
    "train_classifier",
]
