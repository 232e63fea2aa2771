"""Optimizers as Optax transforms, learning-rate schedules, clipping, penalties, averages."""

from jaxnets.optim import asynchronous, paper_schedules, schedules
from jaxnets.optim.adam import adam, adamw, amsgrad, scale_by_adam
from jaxnets.optim.adaptive import (
    adadelta,
    adagrad,
    rmsprop,
    scale_by_adadelta,
    scale_by_adagrad,
    scale_by_rmsprop,
)
from jaxnets.optim.averaging import averaged_params, ema, polyak, track
from jaxnets.optim.clipping import (
    clip_by_global_norm,
    clip_by_leaf_norm,
    clip_by_value,
    global_norm,
)
from jaxnets.optim.partial import keep, move_only
from jaxnets.optim.plateau import Plateau
from jaxnets.optim.registry import (
    create_optimizer,
    create_schedule,
    list_optimizers,
    list_schedules,
)
from jaxnets.optim.regularize import (
    decoupled_decay,
    elastic,
    elastic_penalty,
    l1,
    l2,
    mask_by_name,
    mask_by_rank,
    proximal_l1,
    soft_threshold,
)
from jaxnets.optim.schedules import warm_up
from jaxnets.optim.second_order import (
    Result,
    Status,
    StrongWolfe,
    gradient_curvature,
    hutchinson_trace,
    hvp,
    lanczos,
    minimize,
    multi_batch_gradients,
    multi_batch_lbfgs,
    trajectory_curvature,
)
from jaxnets.optim.second_order.transform import lbfgs
from jaxnets.optim.sgd import (
    heavy_ball,
    look_ahead,
    momentum,
    nesterov,
    nesterov_lookahead,
    scale_by_learning_rate,
    sgd,
)

__all__ = [
    "Plateau",
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "amsgrad",
    "asynchronous",
    "averaged_params",
    "clip_by_global_norm",
    "clip_by_leaf_norm",
    "clip_by_value",
    "create_optimizer",
    "create_schedule",
    "decoupled_decay",
    "elastic",
    "elastic_penalty",
    "ema",
    "global_norm",
    "heavy_ball",
    "l1",
    "l2",
    "list_optimizers",
    "list_schedules",
    "look_ahead",
    "mask_by_name",
    "mask_by_rank",
    "momentum",
    "nesterov",
    "nesterov_lookahead",
    "paper_schedules",
    "polyak",
    "proximal_l1",
    "rmsprop",
    "scale_by_adadelta",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_learning_rate",
    "scale_by_rmsprop",
    "schedules",
    "sgd",
    "soft_threshold",
    "track",
    "warm_up",
]

__all__ += [
    "Result",
    "Status",
    "StrongWolfe",
    "gradient_curvature",
    "hutchinson_trace",
    "hvp",
    "keep",
    "lanczos",
    "lbfgs",
    "minimize",
    "move_only",
    "multi_batch_gradients",
    "multi_batch_lbfgs",
    "trajectory_curvature",
]
