"""Writes optim.npz: what torch.optim does over 50 steps, in float64.

Needs torch, which the tests do not: ``python tests/golden/make_optim.py``. Last run with torch
2.13.0 (CPU), numpy 2.4.

The problem is mean (tanh(xw + b) − y)², w [3, 2], b [2]. Every rule below gives an array [51, 8],
w then b after each step; every schedule the rates at counts 0, 1, 2, ….
"""

from pathlib import Path

import numpy as np
import torch

STEPS = 50
random = np.random.default_rng(0)
X, Y = random.normal(size=(20, 3)), random.uniform(-1, 1, size=(20, 2))
W0, B0 = random.normal(size=(3, 2)), random.normal(size=2)

SGD, RMS, ADA = torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad
RULES = {
    "sgd": (SGD, {"lr": 0.3}),
    "sgd_l2": (SGD, {"lr": 0.3, "weight_decay": 0.05}),
    "momentum": (SGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum_l2": (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05}),
    "nesterov": (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "nesterov_l2": (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05}),
    "adagrad": (ADA, {"lr": 0.1}),
    "adagrad_options": (
        ADA,
        {"lr": 0.1, "eps": 1e-3, "initial_accumulator_value": 0.1, "weight_decay": 0.05},
    ),
    "adagrad_lr_decay": (ADA, {"lr": 0.1, "lr_decay": 0.01}),
    "rmsprop": (RMS, {"lr": 0.01}),
    "rmsprop_momentum": (RMS, {"lr": 0.01, "alpha": 0.9, "eps": 1e-3, "momentum": 0.9}),
    "rmsprop_centered": (
        RMS,
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-2, "centered": True, "weight_decay": 0.05},
    ),
    "adadelta": (torch.optim.Adadelta, {}),
    "adadelta_options": (
        torch.optim.Adadelta,
        {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.05},
    ),
    "adam": (torch.optim.Adam, {"lr": 0.05}),
    "adam_l2": (
        torch.optim.Adam,
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.05},
    ),
    "amsgrad": (torch.optim.Adam, {"lr": 0.05, "amsgrad": True}),
    "amsgrad_l2": (
        torch.optim.Adam,
        {"lr": 0.05, "betas": (0.8, 0.9), "amsgrad": True, "weight_decay": 0.05},
    ),
    "adamw": (torch.optim.AdamW, {"lr": 0.05}),
    "adamw_options": (torch.optim.AdamW, {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.2}),
}


def trajectory(make, *, schedule=None, clip=None, average=None):
    """Parameters after each step, and whatever `average` keeps."""
    w, b = torch.tensor(W0, requires_grad=True), torch.tensor(B0, requires_grad=True)
    x, y = torch.tensor(X), torch.tensor(Y)
    rule = make([w, b])
    scheduler = schedule(rule) if schedule else None
    averaged = None
    if average is not None:
        holder = torch.nn.ParameterList([torch.nn.Parameter(w), torch.nn.Parameter(b)])
        averaged = average(holder)

    def flat(a, c):
        return np.concatenate([a.detach().numpy().ravel(), c.detach().numpy()])

    path, averages = [flat(w, b)], []
    for _ in range(STEPS):
        rule.zero_grad()
        ((torch.tanh(x @ w + b) - y) ** 2).mean().backward()
        if clip:
            clip([w, b])
        rule.step()
        if scheduler:
            scheduler.step()
        path.append(flat(w, b))
        if averaged is not None:
            with torch.no_grad():
                for kept, now in zip(holder, (w, b), strict=True):
                    kept.copy_(now)
            averaged.update_parameters(holder)
            averages.append(flat(*averaged.module))
    return np.array(path), np.array(averages)


def rates(schedule, count=STEPS + 1, base=0.1):
    rule = SGD([torch.zeros(1, requires_grad=True)], lr=base)
    scheduler = schedule(rule)
    found = []
    for _ in range(count):
        found.append(rule.param_groups[0]["lr"])
        rule.step()
        scheduler.step()
    return np.array(found)


def plateau(metrics, **options):
    rule = SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(rule, **options)
    found = []
    for metric in metrics:
        scheduler.step(metric)
        found.append(rule.param_groups[0]["lr"])
    return np.array(found)


def main():
    lrs = torch.optim.lr_scheduler
    utils = torch.nn.utils
    swa = torch.optim.swa_utils
    out = {"x": X, "y": Y, "w0": W0, "b0": B0, "versions": f"torch {torch.__version__}"}
    for name, (rule, options) in RULES.items():
        out[f"rule/{name}"] = trajectory(lambda p, r=rule, o=options: r(p, **o))[0]

    def ball(p):
        return SGD(p, lr=0.1, momentum=0.9)

    # A limit that the gradient passes on some steps and stays below on others.
    clips = {
        "clip_by_global_norm": lambda p: utils.clip_grad_norm_(p, 0.2),
        "clip_by_value": lambda p: utils.clip_grad_value_(p, 0.1),
        "clip_by_leaf_norm": lambda p: [utils.clip_grad_norm_([q], 0.1) for q in p],
    }
    for name, clip in clips.items():
        out[f"rule/{name}"] = trajectory(ball, clip=clip)[0]
    out["rule/momentum_step"] = trajectory(ball, schedule=lambda r: lrs.StepLR(r, 20, 0.1))[0]
    out["rule/adam_cosine"] = trajectory(
        lambda p: torch.optim.Adam(p, lr=0.05), schedule=lambda r: lrs.CosineAnnealingLR(r, 50)
    )[0]
    out["average/polyak"] = trajectory(ball, average=swa.AveragedModel)[1]
    out["average/ema"] = trajectory(
        ball,
        average=lambda m: swa.AveragedModel(m, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9)),
    )[1]

    schedules = {
        "step": lambda r: lrs.StepLR(r, 7, 0.3),
        "multi_step": lambda r: lrs.MultiStepLR(r, [5, 20, 20, 33], 0.5),
        "exponential": lambda r: lrs.ExponentialLR(r, 0.9),
        "linear": lambda r: lrs.LinearLR(r, start_factor=1.0, end_factor=0.1, total_iters=40),
        "polynomial": lambda r: lrs.PolynomialLR(r, total_iters=40, power=1.7),
        "cosine": lambda r: lrs.CosineAnnealingLR(r, T_max=50, eta_min=0.01),
        "warm_restarts_1": lambda r: lrs.CosineAnnealingWarmRestarts(r, 7, 1, 0.001),
        "warm_restarts_2": lambda r: lrs.CosineAnnealingWarmRestarts(r, 3, 2),
        "warm_restarts_3": lambda r: lrs.CosineAnnealingWarmRestarts(r, 2, 3, 0.01),
        "warm_up": lambda r: lrs.SequentialLR(
            r,
            [lrs.LinearLR(r, 0.2, 1.0, total_iters=10), lrs.CosineAnnealingLR(r, T_max=40)],
            milestones=[10],
        ),
    }
    for name, schedule in schedules.items():
        out[f"schedule/{name}"] = rates(schedule)

    noise = np.random.default_rng(1)
    metrics = np.exp(-np.arange(STEPS) / 15) + 0.05 * noise.normal(size=STEPS)
    out["plateau/metrics"] = metrics
    out["plateau/default"] = plateau(metrics, patience=2)
    out["plateau/cooldown"] = plateau(metrics, patience=1, cooldown=3, factor=0.5, min_lr=0.01)
    out["plateau/max_abs"] = plateau(
        metrics, mode="max", threshold_mode="abs", threshold=0.01, patience=3, factor=0.7
    )
    out["plateau/eps"] = plateau(metrics, patience=0, factor=0.2, eps=1e-3)

    target = Path(__file__).with_name("optim.npz")
    np.savez_compressed(target, **out)
    print(f"{target.name}: {len(out)} arrays, {target.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
