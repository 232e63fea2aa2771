"""Measuring: intervals, sweeps over random keys, timing, figures and tables of results.

* `statistics`: one Student t interval, for means, paired differences and ratios; medians, shares.
* `sweep`, `training`: the same run for many keys and values of a setting.
* `timing`, `programs`: times taken by turns, compilation, memory, the processor's name.
* `figures`, `tables`: how results are shown.
* `effects`, `claims`, `runner`, `page`: statements with a verdict that follows from an interval.
* `networks`, `convolution`, `optimization`: what the experiments of one topic share.
"""

from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure, save_figure
from jaxnets.study.programs import Compiled, compile_ahead, processor
from jaxnets.study.statistics import (
    Interval,
    difference_interval,
    growth_exponent,
    log_interval,
    mean_interval,
    median_interval,
    ratio_interval,
    share_interval,
)
from jaxnets.study.sweep import Sweep, make_keys, orders
from jaxnets.study.tables import markdown_table, number, plus_minus, span, with_unit
from jaxnets.study.timing import Timing, check_spread, time_calls, time_stream
from jaxnets.study.training import Runs, train_many

__all__ = [
    "COLORS",
    "Compiled",
    "Interval",
    "Runs",
    "Sweep",
    "Timing",
    "band",
    "check_spread",
    "compile_ahead",
    "curves_and_dots",
    "difference_interval",
    "dots",
    "growth_exponent",
    "log_interval",
    "make_keys",
    "markdown_table",
    "mean_interval",
    "median_interval",
    "new_figure",
    "number",
    "orders",
    "plus_minus",
    "processor",
    "ratio_interval",
    "save_figure",
    "share_interval",
    "span",
    "time_calls",
    "time_stream",
    "train_many",
    "with_unit",
]
