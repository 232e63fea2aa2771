"""Searching for networks: spaces as data, a controller taught by rewards, and what it is beside."""

from jaxnets.nas.controller import Written, init_controller, read, write
from jaxnets.nas.conv_child import ConvChild, ConvLayer, ConvPlan, decode_conv
from jaxnets.nas.darts import architecture_gradient, discretize, mixture
from jaxnets.nas.draw import draw_conv, draw_search, draw_tree
from jaxnets.nas.halving import Rung, successive_halving
from jaxnets.nas.macro_table import MacroTable, load_macro_table
from jaxnets.nas.masked_children import MaskedChildren, Masks
from jaxnets.nas.parameter_server import Simulated, simulate_parameter_server
from jaxnets.nas.rnn_cell import (
    TreeCell,
    TreeWeights,
    decode_cell,
    lstm_architecture,
    lstm_tree_weights,
    rnn_space,
    tree_recurrent,
    tree_step,
)
from jaxnets.nas.search import History, Store, run_search
from jaxnets.nas.space import SearchSpace, Token, conv_space, macro_space
from jaxnets.nas.strategies import (
    RandomSearch,
    RegularizedEvolution,
    Reinforce,
    Strategy,
    reinforce_loss,
)

__all__ = [
    "ConvChild",
    "ConvLayer",
    "ConvPlan",
    "History",
    "MacroTable",
    "MaskedChildren",
    "Masks",
    "RandomSearch",
    "RegularizedEvolution",
    "Reinforce",
    "Rung",
    "SearchSpace",
    "Simulated",
    "Store",
    "Strategy",
    "Token",
    "TreeCell",
    "TreeWeights",
    "Written",
    "architecture_gradient",
    "conv_space",
    "decode_cell",
    "decode_conv",
    "discretize",
    "draw_conv",
    "draw_search",
    "draw_tree",
    "init_controller",
    "load_macro_table",
    "lstm_architecture",
    "lstm_tree_weights",
    "macro_space",
    "mixture",
    "read",
    "reinforce_loss",
    "rnn_space",
    "run_search",
    "simulate_parameter_server",
    "successive_halving",
    "tree_recurrent",
    "tree_step",
    "write",
]
