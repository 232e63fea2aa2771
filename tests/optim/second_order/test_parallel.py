"""A full batch spread over eight devices gives the iterates of one device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jaxnets.optim import minimize

STEPS = 25


def problem():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(64, 6))
    target = np.tanh(features @ rng.normal(size=(6, 2)))
    start = {"w": jnp.asarray(rng.normal(size=(6, 2))), "b": jnp.zeros(2)}
    return start, jnp.asarray(features), jnp.asarray(target)


def loss(tree, features, target):
    return jnp.mean((jnp.tanh(features @ tree["w"] + tree["b"]) - target) ** 2)


def solve(start, features, target, axis_name=None):
    return minimize(
        loss, start, args=(features, target), max_iterations=STEPS, tol=0.0, axis_name=axis_name
    ).x


@pytest.mark.parametrize("mode", ["jit", "shard_map", "unchecked shard_map", "pmap"])
def test_data_parallel_iterates_equal_one_device(x64, mode):
    start, features, target = problem()
    alone = solve(start, features, target)
    devices = jax.devices()
    assert len(devices) == 8
    mesh = Mesh(np.array(devices), ("batch",))
    if mode == "jit":
        split = NamedSharding(mesh, P("batch"))
        spread = solve(start, *jax.device_put((features, target), split))
    elif mode == "pmap":
        cut = [a.reshape(8, -1, a.shape[1]) for a in (features, target)]
        run = jax.pmap(lambda f, t: solve(start, f, t, "batch"), axis_name="batch", devices=devices)
        every = run(*cut)
        spread = jax.tree.map(lambda leaf: leaf[0], every)
        for leaf in jax.tree.leaves(every):
            assert (leaf == leaf[:1]).all()
    else:
        run = jax.shard_map(
            lambda s, f, t: solve(s, f, t, "batch"),
            mesh=mesh,
            in_specs=(P(), P("batch"), P("batch")),
            out_specs=P(),
            check_vma=mode == "shard_map",
        )
        spread = jax.jit(run)(start, features, target)
    for name in start:
        assert np.abs(np.asarray(alone[name]) - np.asarray(spread[name])).max() <= 1e-10
