"""Networks: one family a file, and a registry that knows them all."""

# Importing a family registers its networks.
from jaxnets.models import lenet, mlp, resnet_cifar  # noqa: F401
from jaxnets.models.features import features
from jaxnets.models.registry import ModelInfo, create_model, list_models, model_info, register

__all__ = ["ModelInfo", "create_model", "features", "list_models", "model_info", "register"]
