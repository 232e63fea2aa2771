"""Other people's weights: read without PyTorch, without running anything that a file contains."""

from jaxnets.pretrained.attention_layouts import attention_params_from_torch
from jaxnets.pretrained.darknet_files import read_darknet
from jaxnets.pretrained.deep_compression import (
    load_deep_compression,
    network_of_file,
    read_deep_compression,
)
from jaxnets.pretrained.loading import load, save
from jaxnets.pretrained.names import NameMap
from jaxnets.pretrained.preprocess import Preprocessing, preprocessing
from jaxnets.pretrained.recurrent_layouts import (
    recurrent_from,
    recurrent_params,
    recurrent_params_from_torch,
    recurrent_to,
)
from jaxnets.pretrained.sequence_files import SequenceNetwork, load_char_rnn, load_g2p
from jaxnets.pretrained.shufflenet_trunk import read_trunk
from jaxnets.pretrained.srcnn_files import load_srcnn
from jaxnets.pretrained.state_dict import read_state_dict

__all__ = [
    "NameMap",
    "Preprocessing",
    "SequenceNetwork",
    "attention_params_from_torch",
    "load",
    "load_char_rnn",
    "load_deep_compression",
    "load_g2p",
    "load_srcnn",
    "network_of_file",
    "preprocessing",
    "read_darknet",
    "read_deep_compression",
    "read_state_dict",
    "read_trunk",
    "recurrent_from",
    "recurrent_params",
    "recurrent_params_from_torch",
    "recurrent_to",
    "save",
]
