"""Searching for networks: spaces as data, a controller taught by rewards, and what it is beside."""

from jaxnets.nas.cell_search import FoundCell, search_cells
from jaxnets.nas.cell_space import cell_space, decode_cells, encode_cells
from jaxnets.nas.children_search import FoundChild, search_children, small_space
from jaxnets.nas.controller import Written, init_controller, read, write
from jaxnets.nas.conv_child import ConvChild, ConvLayer, ConvPlan, decode_conv
from jaxnets.nas.darts import architecture_gradient, discretize, mixture
from jaxnets.nas.darts_search import darts_architecture
from jaxnets.nas.draw import draw_conv, draw_search, draw_tree
from jaxnets.nas.halving import Rung, successive_halving
from jaxnets.nas.macro_table import MacroTable, load_macro_table
from jaxnets.nas.masked_cells import MaskedCells
from jaxnets.nas.masked_children import MaskedChildren, Masks
from jaxnets.nas.parameter_server import Simulated, simulate_parameter_server
from jaxnets.nas.report import (
    AgainstChance,
    against_chance,
    make_strategy,
    search_over_keys,
    search_table,
    summarize_searches,
)
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
    "AgainstChance",
    "ConvChild",
    "ConvLayer",
    "ConvPlan",
    "FoundCell",
    "FoundChild",
    "History",
    "MacroTable",
    "MaskedCells",
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
    "against_chance",
    "architecture_gradient",
    "cell_space",
    "conv_space",
    "darts_architecture",
    "decode_cell",
    "decode_cells",
    "decode_conv",
    "discretize",
    "draw_conv",
    "draw_search",
    "draw_tree",
    "encode_cells",
    "init_controller",
    "load_macro_table",
    "lstm_architecture",
    "lstm_tree_weights",
    "macro_space",
    "make_strategy",
    "mixture",
    "read",
    "reinforce_loss",
    "rnn_space",
    "run_search",
    "search_cells",
    "search_children",
    "search_over_keys",
    "search_table",
    "simulate_parameter_server",
    "small_space",
    "successive_halving",
    "summarize_searches",
    "tree_recurrent",
    "tree_step",
    "write",
]
