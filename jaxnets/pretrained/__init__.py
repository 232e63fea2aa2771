"""Other people's weights: read without PyTorch, without running anything that a file contains."""

from jaxnets.pretrained.darknet_files import read_darknet
from jaxnets.pretrained.deep_compression import load_deep_compression
from jaxnets.pretrained.loading import load, save
from jaxnets.pretrained.names import NameMap
from jaxnets.pretrained.preprocess import Preprocessing, preprocessing
from jaxnets.pretrained.state_dict import read_state_dict

__all__ = [
    "NameMap",
    "Preprocessing",
    "load",
    "load_deep_compression",
    "preprocessing",
    "read_darknet",
    "read_state_dict",
    "save",
]
