"""jaxnets: deep learning for vision in JAX, Flax and Optax.

The names offered here load their modules on first use, so that ``import jaxnets`` costs nothing
beside JAX and Flax.

>>> import jaxnets
>>> model = jaxnets.create_model("lenet5", num_classes=10)
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_LAZY = {
    "create_model": "jaxnets.models",
    "features": "jaxnets.models",
    "list_models": "jaxnets.models",
    "model_info": "jaxnets.models",
    "reuse_freed_memory": "jaxnets.host_memory",
}
_ROOMS = (
    "augment",
    "commands",
    "compress",
    "data",
    "ensembles",
    "inspect",
    "interpret",
    "losses",
    "metrics",
    "models",
    "nas",
    "nn",
    "noise",
    "ops",
    "optim",
    "pretrained",
    "tasks",
    "train",
    "transfer",
    "tune",
)

__all__ = [*_LAZY, *_ROOMS, "__version__"]

if TYPE_CHECKING:
    from jaxnets.host_memory import reuse_freed_memory as reuse_freed_memory
    from jaxnets.models import create_model as create_model
    from jaxnets.models import features as features
    from jaxnets.models import list_models as list_models
    from jaxnets.models import model_info as model_info


def __getattr__(name: str):
    if name in _LAZY:
        value = getattr(import_module(_LAZY[name]), name)
        globals()[name] = value
        return value
    if name in _ROOMS:
        return import_module(f"jaxnets.{name}")
    raise AttributeError(f"module 'jaxnets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
