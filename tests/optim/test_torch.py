"""Every rule and every schedule against stored values of torch.optim, 50 steps in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim

pytestmark = pytest.mark.usefixtures("x64")

# Float64 rounds at 1e-16; 50 smooth steps amplify that a little. The bar is 1e-12.
TOLERANCE = 1e-12


@pytest.fixture(scope="module")
def stored(golden):
    return dict(np.load(golden / "optim.npz"))


def path_of(rule, stored, steps=50):
    """Parameters [steps + 1, 8] along the way, w then b."""
    x, y = jnp.asarray(stored["x"]), jnp.asarray(stored["y"])
    params = {"w": jnp.asarray(stored["w0"]), "b": jnp.asarray(stored["b0"])}

    def loss(p):
        return jnp.mean((jnp.tanh(x @ p["w"] + p["b"]) - y) ** 2)

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            updates, state = rule.update(jax.grad(loss)(params), state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        return jax.lax.scan(step, (params, rule.init(params)), length=steps)[1]

    path = run(params)
    rows = np.concatenate([path["w"].reshape(steps, -1), path["b"]], axis=1)
    start = np.concatenate([stored["w0"].ravel(), stored["b0"]])
    return np.concatenate([start[None], rows])


create = optim.create_optimizer
RULES = {
    "sgd": lambda: create("sgd", 0.3),
    "sgd_l2": lambda: create("sgd", 0.3, weight_decay=0.05),
    "momentum": lambda: create("momentum", 0.1),
    "momentum_l2": lambda: create("momentum", 0.1, momentum=0.9, weight_decay=0.05),
    "nesterov": lambda: create("nesterov", 0.1),
    "nesterov_l2": lambda: create("nesterov", 0.1, momentum=0.9, weight_decay=0.05),
    "adagrad": lambda: create("adagrad", 0.1),
    "adagrad_options": lambda: create(
        "adagrad", 0.1, eps=1e-3, initial_accumulator_value=0.1, weight_decay=0.05
    ),
    "adagrad_lr_decay": lambda: create("adagrad", optim.schedules.inverse(0.1, 0.01, 1)),
    "rmsprop": lambda: create("rmsprop", 0.01),
    "rmsprop_momentum": lambda: create("rmsprop", 0.01, decay=0.9, eps=1e-3, momentum=0.9),
    "rmsprop_centered": lambda: create(
        "rmsprop", 0.01, decay=0.9, eps=1e-2, centered=True, weight_decay=0.05
    ),
    "adadelta": lambda: create("adadelta", 1.0),
    "adadelta_options": lambda: create("adadelta", 0.5, decay=0.8, eps=1e-3, weight_decay=0.05),
    "adam": lambda: create("adam", 0.05),
    "adam_l2": lambda: create("adam", 0.05, b1=0.8, b2=0.95, eps=1e-3, weight_decay=0.05),
    "amsgrad": lambda: create("amsgrad", 0.05),
    "amsgrad_l2": lambda: create("amsgrad", 0.05, b1=0.8, b2=0.9, weight_decay=0.05),
    "adamw": lambda: create("adamw", 0.05),
    "adamw_options": lambda: create("adamw", 0.05, b1=0.8, b2=0.95, weight_decay=0.2),
    "clip_by_global_norm": lambda: create("momentum", 0.1, clip_norm=0.2),
    "clip_by_value": lambda: optax.chain(optim.clip_by_value(0.1), optim.momentum(0.1)),
    "clip_by_leaf_norm": lambda: optax.chain(optim.clip_by_leaf_norm(0.1), optim.momentum(0.1)),
    "momentum_step": lambda: create("momentum", optim.schedules.step(0.1, 20)),
    "adam_cosine": lambda: create("adam", optim.create_schedule("cosine", 0.05, 50)),
}


def test_every_stored_rule_is_compared(stored):
    assert {f"rule/{name}" for name in RULES} == {k for k in stored if k.startswith("rule/")}
    assert {name.split("_")[0] for name in RULES} >= set(optim.list_optimizers())


@pytest.mark.parametrize("name", RULES)
def test_rule_equals_torch(name, stored):
    np.testing.assert_allclose(
        path_of(RULES[name](), stored), stored[f"rule/{name}"], rtol=0, atol=TOLERANCE
    )


def test_stored_paths_differ_from_each_other(stored):
    """The comparison above means something only if no two rules walk the same way."""
    ends = np.array([v[-1] for k, v in stored.items() if k.startswith("rule/")])
    apart = np.abs(ends[:, None] - ends[None]).max(-1)
    assert apart[~np.eye(len(ends), dtype=bool)].min() > 1e-4


@pytest.mark.parametrize(
    ("name", "rule"),
    [("adagrad", optax.adagrad(0.1)), ("rmsprop", optax.rmsprop(0.01))],
)
def test_optax_defaults_are_not_torch(name, rule, stored):
    """What the docstrings say about optax; when it changes, they should."""
    assert np.abs(path_of(rule, stored) - stored[f"rule/{name}"]).max() > 1e-3


s = optim.schedules
SCHEDULES = {
    "step": lambda: s.step(0.1, 7, 0.3),
    "multi_step": lambda: s.multi_step(0.1, (5, 20, 20, 33), 0.5),
    "exponential": lambda: s.exponential(0.1, 0.9),
    "linear": lambda: s.linear(0.1, 40, 0.01),
    "polynomial": lambda: s.polynomial(0.1, 40, 1.7),
    "cosine": lambda: s.cosine(0.1, 50, 0.01),
    "warm_restarts_1": lambda: s.warm_restarts(0.1, 7, 1, 0.001),
    "warm_restarts_2": lambda: s.warm_restarts(0.1, 3, 2),
    "warm_restarts_3": lambda: s.warm_restarts(0.1, 2, 3, 0.01),
    "warm_up": lambda: optim.create_schedule("cosine", 0.1, 50, warmup_steps=10, warmup_start=0.2),
}


def test_every_stored_schedule_is_compared(stored):
    assert {f"schedule/{n}" for n in SCHEDULES} == {k for k in stored if k.startswith("schedule/")}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_torch(name, stored):
    rate = SCHEDULES[name]()
    found = jax.jit(jax.vmap(rate))(jnp.arange(51))
    np.testing.assert_allclose(found, stored[f"schedule/{name}"], rtol=0, atol=TOLERANCE)


PLATEAUS = {
    "default": {"patience": 2},
    "cooldown": {"patience": 1, "cooldown": 3, "factor": 0.5, "end_value": 0.01},
    "max_abs": {
        "mode": "max",
        "threshold_mode": "abs",
        "threshold": 0.01,
        "patience": 3,
        "factor": 0.7,
    },
    "eps": {"patience": 0, "factor": 0.2, "eps": 1e-3},
}


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau_equals_torch(name, stored):
    schedule = optim.Plateau(0.1, **PLATEAUS[name])

    def observe(state, metric):
        state = schedule.update(state, value=metric)
        return state, schedule(state)

    _, rates = jax.lax.scan(observe, schedule.init(), jnp.asarray(stored["plateau/metrics"]))
    wanted = stored[f"plateau/{name}"]
    assert len(np.unique(wanted)) >= 3
    np.testing.assert_allclose(rates, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "average"), [("polyak", optim.polyak()), ("ema", optim.ema(0.9))])
def test_average_equals_torch(name, average, stored):
    """PyTorch's averages begin with the first parameters that they are shown."""
    path = jnp.asarray(stored["rule/momentum"])[1:]

    def see(state, params):
        state = average.update(state, params)
        return state, state.average

    start = average.init(path[0])
    if name == "polyak":
        start = average.update(start, path[0])
    _, found = jax.lax.scan(see, start, path[1:])
    np.testing.assert_allclose(found, stored[f"average/{name}"][1:], rtol=0, atol=TOLERANCE)
