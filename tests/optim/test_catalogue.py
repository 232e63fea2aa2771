"""Every optimizer crossed with problems, dtypes, containers; each compiles once."""

import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim
from jaxnets.optim import paper_schedules, schedules
from jaxnets.optim.averaging import Average

# A rate that suits every problem below; state: numbers kept a parameter, and counters.
CATALOGUE = {
    "sgd": (lambda rate: optim.create_optimizer("sgd", rate), 0.3, 0, 0),
    "momentum": (lambda rate: optim.create_optimizer("momentum", rate), 0.05, 1, 0),
    "momentum_inside": (
        lambda rate: optim.momentum(rate, learning_rate_in_velocity=True),
        0.05,
        1,
        0,
    ),
    "nesterov": (lambda rate: optim.create_optimizer("nesterov", rate), 0.05, 1, 0),
    "adagrad": (lambda rate: optim.create_optimizer("adagrad", rate), 0.3, 1, 0),
    "rmsprop": (lambda rate: optim.create_optimizer("rmsprop", rate), 0.02, 1, 0),
    "rmsprop_full": (
        lambda rate: optim.create_optimizer("rmsprop", rate, centered=True, momentum=0.5),
        0.005,
        3,
        0,
    ),
    "adadelta": (lambda rate: optim.create_optimizer("adadelta", rate, eps=1e-3), 1.0, 2, 0),
    "adam": (lambda rate: optim.create_optimizer("adam", rate), 0.05, 2, 1),
    "amsgrad": (lambda rate: optim.create_optimizer("amsgrad", rate), 0.05, 3, 1),
    "adamw": (lambda rate: optim.create_optimizer("adamw", rate), 0.05, 2, 1),
    "everything": (
        lambda rate: optax.chain(
            optim.create_optimizer(
                "adam", rate, weight_decay=1e-4, clip_norm=1.0, mask=optim.mask_by_rank
            ),
            optim.track(optim.ema(0.9)),
        ),
        0.05,
        3,
        2,
    ),
}

# What stands inside a chain, with its state: numbers kept a parameter, and counters.
TRANSFORMS = {
    "clip_by_global_norm": (lambda: optim.clip_by_global_norm(1.0), 0, 0),
    "clip_by_leaf_norm": (lambda: optim.clip_by_leaf_norm(1.0), 0, 0),
    "clip_by_value": (lambda: optim.clip_by_value(1.0), 0, 0),
    "decoupled_decay": (lambda: optim.decoupled_decay(0.1), 0, 0),
    "elastic": (lambda: optim.elastic(0.1, 0.2), 0, 0),
    "heavy_ball": (lambda: optim.heavy_ball(0.5), 1, 0),
    "keep": (optim.keep, 0, 0),
    "l1": (lambda: optim.l1(0.1), 0, 0),
    "l2": (lambda: optim.l2(0.1), 0, 0),
    "move_only": (
        lambda: optim.move_only(optim.heavy_ball(0.5), lambda p: jax.tree.map(lambda _: True, p)),
        1,
        0,
    ),
    "nesterov_lookahead": (lambda: optim.nesterov_lookahead(0.1), 1, 0),
    "proximal_l1": (lambda: optim.proximal_l1(0.1, 0.1), 0, 0),
    "scale_by_adadelta": (optim.scale_by_adadelta, 2, 0),
    "scale_by_adagrad": (optim.scale_by_adagrad, 1, 0),
    "scale_by_adam": (optim.scale_by_adam, 2, 1),
    "scale_by_learning_rate": (lambda: optim.scale_by_learning_rate(lambda t: 1 / (1 + t)), 0, 1),
    "scale_by_rmsprop": (optim.scale_by_rmsprop, 1, 0),
    "track": (lambda: optim.track(optim.polyak()), 1, 1),
    "ema": (lambda: optim.track(optim.ema(0.9, warm=True)), 1, 1),
    "polyak": (lambda: optim.track(optim.polyak(1)), 1, 1),
}
# Their updates need a loss function or several gradients; tests/optim/second_order has theirs.
OWN_TESTS = {"lbfgs", "multi_batch_lbfgs"}

# Rates of at most 0.5, which end after 40 updates where they end.
SCHEDULES = {
    "constant": schedules.constant(0.5),
    "cosine": schedules.cosine(0.5, 40, 0.1),
    "exponential": schedules.exponential(0.5, 0.9),
    "inverse": schedules.inverse(0.5, 0.1),
    "inverse_sqrt": schedules.inverse_sqrt(0.5, 10.0),
    "linear": schedules.linear(0.5, 40, 0.1),
    "multi_step": schedules.multi_step(0.5, (10, 30)),
    "polynomial": schedules.polynomial(0.5, 40, 2.0),
    "snapshot_cosine": schedules.snapshot_cosine(0.5, 40, 3),
    "step": schedules.step(0.5, 10),
    "warm_restarts": schedules.warm_restarts(0.5, 5, 2),
    "warm_up": schedules.warm_up(schedules.linear(0.5, 30), 10),
    "bvlc_alexnet": paper_schedules.bvlc_alexnet(0.5),
    "bvlc_googlenet": paper_schedules.bvlc_googlenet(0.5),
    "bvlc_googlenet_quick": paper_schedules.bvlc_googlenet_quick(0.5, 40),
    "googlenet": paper_schedules.googlenet(0.5, 2),
    "inception": paper_schedules.inception(0.5, 2),
    "resnet_cifar": paper_schedules.resnet_cifar(0.5, 40),
    "squeezenet": paper_schedules.squeezenet(0.5, 40),
    "sutskever": paper_schedules.sutskever(0.5, 4),
}


class Layer(NamedTuple):
    kernel: jax.Array
    bias: jax.Array


def quadratic():
    """Half xᵀAx with eigenvalues 0.1, 1, 4 in a bare array."""
    scale = jnp.array([0.1, 1.0, 4.0])
    return lambda x: jnp.sum(scale * x * x) / 2, jnp.array([2.0, -1.0, 1.0])


def classifier():
    """Two tanh layers on three blobs, in a tree of every container."""
    key = jax.random.key(0)
    labels = jnp.arange(30) % 3
    centers = jnp.array([[2.0, 0.0], [-1.0, 1.5], [-1.0, -1.5]])
    x = centers[labels] + 0.3 * jax.random.normal(key, (30, 2))

    def loss(params):
        first, rest = params["layers"]
        hidden = jnp.tanh(x @ first.kernel + first.bias)
        logits = hidden @ rest["out"][0] * params["scale"]
        return -jnp.mean(jax.nn.log_softmax(logits.astype(jnp.float32))[jnp.arange(30), labels])

    k1, k2 = jax.random.split(key)
    params = {
        "layers": (
            Layer(0.5 * jax.random.normal(k1, (2, 4)), jnp.zeros(4)),
            {"out": [0.5 * jax.random.normal(k2, (4, 3))], "empty": {}, "nothing": None},
        ),
        "scale": jnp.array(1.0),
        "of no size": jnp.zeros((0, 3)),
    }
    return loss, params


PROBLEMS = {"quadratic": quadratic, "classifier": classifier}


def cast(tree, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), tree)


def trained(rule, loss, params, steps):
    """Parameters and state after `steps` jitted steps, and how often they were compiled."""

    @jax.jit
    def step(params, state):
        updates, state = rule.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = rule.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state, step._cache_size()


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", CATALOGUE)
def test_loss_falls_in_one_compilation(name, problem, dtype):
    build, rate, per_parameter, counters = CATALOGUE[name]
    loss, params = PROBLEMS[problem]()
    params = cast(params, dtype)
    found, state, compilations = trained(build(rate), loss, params, 100)

    assert float(loss(found)) < 0.5 * float(loss(params))
    assert compilations == 1
    assert jax.tree.structure(found) == jax.tree.structure(params)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(found)} == {dtype}
    # The state is float32 also for bfloat16 parameters, and no larger than the method demands.
    arrays = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.float32]
    counts = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.int32]
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert sum(leaf.size for leaf in arrays) == per_parameter * size
    assert len(counts) == counters
    assert len(arrays) + len(counts) == len(jax.tree.leaves(state))


def public_functions(module, *kinds) -> set[str]:
    """Names of a module's functions that are annotated to return one of these."""
    names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    functions = {name: getattr(module, name) for name in names}
    return {
        name
        for name, function in functions.items()
        if inspect.isfunction(function) and inspect.signature(function).return_annotation in kinds
    }


def test_every_name_is_in_the_catalogue():
    assert set(optim.list_optimizers()) <= set(CATALOGUE)
    transforms = (optax.GradientTransformation, optax.GradientTransformationExtraArgs, Average)
    public = public_functions(optim, *transforms)
    assert {"adam", "l2", "lbfgs", "ema", "create_optimizer"} <= public  # the walk finds them
    assert public - {"create_optimizer"} <= set(CATALOGUE) | set(TRANSFORMS) | OWN_TESTS
    rates = public_functions(schedules, schedules.Schedule)
    rates |= public_functions(paper_schedules, schedules.Schedule)
    assert rates == set(SCHEDULES)


def test_every_public_name_has_an_example():
    for module in (optim, optim.second_order):
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                assert ">>>" in value.__doc__, name


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_compiles_once_and_computes_in_float32(name):
    build, per_parameter, counters = TRANSFORMS[name]
    rule = build()
    params = {"w": jnp.array([[1.0, -3.0], [0.5, 0.0]]), "b": (jnp.array([2.0]),)}
    grads = jax.tree.map(lambda leaf: 0.25 * leaf - 1, params)

    @jax.jit
    def update(grads, state, params):
        return rule.update(grads, state, params)

    updates, state = update(grads, rule.init(params), params)
    updates, state = update(updates, state, params)
    assert update._cache_size() == 1
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(updates))
    kept = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype == jnp.float32]
    assert sum(leaf.size for leaf in kept) == 5 * per_parameter
    assert len(jax.tree.leaves(state)) == 2 * per_parameter + counters
    # A bfloat16 gradient is computed on in float32.
    half = cast((params, grads), jnp.bfloat16)
    wide = cast(half, jnp.float32)
    low = update(half[1], rule.init(half[0]), half[0])[0]
    full = update(wide[1], rule.init(wide[0]), wide[0])[0]
    # `track` hands its input through as it is.
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(jnp.asarray(a, b.dtype), b), low, full)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_is_traceable_and_holds_its_last_value(name):
    schedule = SCHEDULES[name]
    counts = jnp.arange(60)
    rates = jax.jit(jax.vmap(schedule))(counts)
    # The compiler may fuse a product and a sum.
    np.testing.assert_allclose(rates[::7], [schedule(t) for t in counts[::7]], rtol=1e-6, atol=1e-8)
    assert rates.dtype == jnp.float32
    assert ((rates >= 0) & (rates <= 0.5 + 1e-6)).all()
    if "total_steps" in inspect.signature(getattr(schedules, name, lambda: 0)).parameters:
        assert name == "snapshot_cosine" or (rates[40:] == rates[40]).all()


def test_optax_state_is_larger():
    """What "as small as the method allows" is worth: optax.adadelta keeps as much, AMSGrad too."""
    params = jnp.zeros(1000)
    for name, theirs in (("amsgrad", optax.amsgrad(0.1)), ("adadelta", optax.adadelta(0.1))):
        sizes = [
            sum(leaf.size for leaf in jax.tree.leaves(rule.init(params)))
            for rule in (CATALOGUE[name][0](0.1), theirs)
        ]
        assert sizes[0] <= sizes[1]


@pytest.mark.parametrize("name", CATALOGUE)
def test_bfloat16_step_is_the_float32_step_rounded_once(name):
    build, rate, *_ = CATALOGUE[name]
    grads = jnp.array([0.3, -2.0, 0.01], jnp.bfloat16)
    params = jnp.array([1.0, -3.0, 0.5], jnp.bfloat16)

    def two_steps(params, grads):
        rule = build(rate)
        state = rule.init(params)
        _, state = rule.update(grads, state, params)
        return rule.update(2 * grads, state, params)[0]

    half, full = two_steps(params, grads), two_steps(*cast((params, grads), jnp.float32))
    assert half.dtype == jnp.float32
    np.testing.assert_array_equal(half, full)


def test_small_updates_survive_in_the_velocity_of_bfloat16_parameters():
    """A bfloat16 velocity would stand still at 256 times the gradient; ours goes on to 1000."""
    rule = optim.momentum(1e-6, 0.999)
    grads = jnp.ones(1, jnp.bfloat16)
    state = rule.init(grads)
    update = jax.jit(rule.update)
    for _ in range(10_000):
        updates, state = update(grads, state)
    assert float(updates[0]) == pytest.approx(-1e-3, rel=1e-3)


@pytest.mark.parametrize("name", CATALOGUE)
def test_rate_may_be_traced_scheduled_or_injected(name):
    build, rate, *_ = CATALOGUE[name]
    loss, params = quadratic()

    def after(rate):
        rule = build(rate)
        state = rule.init(params)
        p = params
        for _ in range(3):
            updates, state = rule.update(jax.grad(loss)(p), state, p)
            p = optax.apply_updates(p, updates)
        return p

    plain = jax.jit(lambda: after(rate))()
    # Rounding of the rate to float32 happens elsewhere in each form.
    np.testing.assert_allclose(jax.jit(after)(rate), plain, rtol=1e-6)
    np.testing.assert_allclose(
        jax.jit(lambda: after(lambda count: rate * 0.5 ** (count * 0)))(), plain, rtol=1e-6
    )
    many = jax.jit(jax.vmap(after))(jnp.array([0.0, rate]))
    np.testing.assert_allclose(many[1], plain, rtol=1e-6)
    if name not in ("adamw", "everything"):
        np.testing.assert_array_equal(many[0], params)


def test_injected_rate_can_be_set_from_outside():
    rule = optax.inject_hyperparams(optim.adam)(learning_rate=0.1)
    params = jnp.ones(2)
    state = rule.init(params)
    update = jax.jit(rule.update)
    first, state = update(params, state, params)
    state.hyperparams["learning_rate"] = jnp.float32(0.01)
    second, state = update(params, state, params)
    np.testing.assert_allclose(first, -0.1, rtol=1e-5)
    np.testing.assert_allclose(second, -0.01, rtol=1e-5)
    assert update._cache_size() == 1


@pytest.mark.parametrize("name", ["momentum", "amsgrad", "everything"])
def test_data_parallel_equals_one_device(name):
    """Eight devices, the batch shared out by pmap, equal one device with the whole batch."""
    build, rate, *_ = CATALOGUE[name]
    rule = build(rate)
    x = jax.random.normal(jax.random.key(1), (16, 3))
    y = jnp.sin(x @ jnp.array([1.0, -2.0, 0.5]))

    def loss(w, x, y):
        return jnp.mean((x @ w - y) ** 2)

    def step(w, state, x, y, axis=None):
        grads = jax.grad(loss)(w, x, y)
        if axis:
            grads = jax.lax.pmean(grads, axis)
        updates, state = rule.update(grads, state, w)
        return optax.apply_updates(w, updates), state

    single = jax.jit(step)
    many = jax.pmap(lambda *a: step(*a, axis="devices"), axis_name="devices")
    w = jnp.array([0.5, 0.5, 0.5])
    state = rule.init(w)
    n = jax.local_device_count()
    ws, states = jax.tree.map(lambda leaf: jnp.stack([leaf] * n), (w, state))
    xs, ys = x.reshape(n, -1, 3), y.reshape(n, -1)
    for _ in range(3):
        w, state = single(w, state, x, y)
        ws, states = jax.block_until_ready(many(ws, states, xs, ys))
    # The sums over the batch are taken in another order.
    np.testing.assert_allclose(ws, np.stack([w] * n), rtol=1e-5)


def test_wrappers_of_optax_work():
    """A mask and accumulation over micro-batches, from outside."""
    params = {"w": jnp.ones(3), "b": jnp.ones(2)}
    masked = optax.masked(optim.adam(0.1), {"w": True, "b": False})
    updates, _ = masked.update(params, masked.init(params), params)
    np.testing.assert_array_equal(updates["b"], params["b"])
    np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)
    rule = optax.MultiSteps(optim.momentum(0.1), 2)
    state = rule.init(params)
    first, state = rule.update(params, state, params)
    second, state = rule.update(params, state, params)
    np.testing.assert_array_equal(first["w"], 0)
    np.testing.assert_allclose(second["w"], -0.1, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in CATALOGUE if n != "sgd"])
@pytest.mark.parametrize("leaf", [jnp.arange(3), jnp.ones(2, jnp.complex64), jnp.array([True])])
def test_only_real_floating_parameters(name, leaf):
    build, rate, *_ = CATALOGUE[name]
    with pytest.raises(ValueError, match="real floating-point"):
        build(rate).init({"w": leaf})
