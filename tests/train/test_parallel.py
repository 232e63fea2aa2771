"""One device, eight devices by pmap, eight by jit: the same parameters and statistics."""

import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import pytest

from jaxnets.data import load_dataset
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.nn import BatchNorm
from jaxnets.optim import create_optimizer
from jaxnets.tasks import classification
from jaxnets.train import (
    BATCH_AXIS,
    DataParallel,
    choose_devices,
    create_state,
    state_arrays,
    train_step,
)

STEPS, BATCH = 20, 32
EXAMPLE = {"image": np.zeros((1, 8, 8, 1)), "label": np.zeros(1, int)}


def train(parallel: DataParallel, *, process_index=0, process_count=1):
    """Twenty steps of a small residual network with batch normalization on digits."""
    from jaxnets.data import Batches

    norm = partial(BatchNorm, axis_name=BATCH_AXIS if parallel.mode == "pmap" else None)
    model = create_model("resnet20", blocks=1, widths=(4, 8, 8), norm=norm)
    tx = create_optimizer("momentum", 0.05)
    task = classification(10, preprocess=lambda x: x / 128.0 - 1.0)
    state = create_state(model, tx, EXAMPLE, jax.random.key(0), task=task)
    state = parallel.replicate(state)
    step = parallel.parallelize(partial(train_step, task=task))
    batches = Batches(
        load_dataset("digits").train,
        BATCH,
        seed=0,
        process_index=process_index,
        process_count=process_count,
    )
    for index in range(STEPS):
        state, metrics = step(state, parallel.shard(batches[index]))
        # Simulated devices abort when the host runs far ahead of their collectives.
        jax.block_until_ready(metrics)
    return state_arrays(state, parallel.fetch), parallel.fetch(metrics)


@pytest.fixture(scope="module")
def single():
    return train(DataParallel("jit", jax.devices()[:1]))


def assert_same(got, single, atol=1e-5):
    arrays, metrics = got
    expected, expected_metrics = single
    assert arrays.keys() == expected.keys()
    assert any("batch_stats" in path for path in arrays)
    for path in expected:
        np.testing.assert_allclose(arrays[path], expected[path], atol=atol, err_msg=path)
    for name in expected_metrics:
        np.testing.assert_allclose(metrics[name], expected_metrics[name], rtol=1e-3)


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_eight_devices_equal_one(mode, single):
    assert_same(train(DataParallel(mode)), single)


def test_training_moved_the_parameters(single):
    model = create_model("resnet20", blocks=1, widths=(4, 8, 8))
    rule, key = create_optimizer("sgd", 0.1), jax.random.key(0)
    start = create_state(model, rule, EXAMPLE, key, task=classification(10))
    before = start.params["stem"]["conv"]["kernel"]
    assert np.abs(single[0]["params/stem/conv/kernel"] - before).max() > 1e-2


WORKER = """
import sys
import numpy as np
import jax
jax.distributed.initialize("localhost:" + sys.argv[2], num_processes=2, process_id=int(sys.argv[3]))
sys.path.insert(0, sys.argv[1])
import test_parallel
from jaxnets.train import DataParallel
assert len(jax.devices()) == 4 and len(jax.local_devices()) == 2
arrays, metrics = test_parallel.train(
    DataParallel(sys.argv[4]), process_index=jax.process_index(), process_count=2
)
np.savez(sys.argv[5], **arrays, **{"metric/" + k: v for k, v in metrics.items()})
"""


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_two_processes_equal_one_device(mode, single, tmp_path):
    port = _free_port()
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
        "JAX_PLATFORMS": "cpu",
    }
    here = os.path.dirname(__file__)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, here, port, str(i), mode, str(tmp_path / f"{i}.npz")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(2)
    ]
    outputs = [worker.communicate(timeout=240)[0] for worker in workers]
    for worker, output in zip(workers, outputs, strict=True):
        assert worker.returncode == 0, output[-3000:]
    for i in range(2):
        saved = dict(np.load(tmp_path / f"{i}.npz"))
        metrics = {k[7:]: saved.pop(k) for k in list(saved) if k.startswith("metric/")}
        assert_same((saved, metrics), single)


def _free_port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def test_batches_that_devices_cannot_share():
    parallel = DataParallel("pmap")
    with pytest.raises(JaxnetsError, match=r"30 examples cannot be shared by 8 devices.*24 or 32"):
        parallel.check_batch_size(30)
    with pytest.raises(JaxnetsError, match="in 4 parts each"):
        parallel.check_batch_size(40, microbatches=4)
    parallel.check_batch_size(64, microbatches=4)
    with pytest.raises(JaxnetsError, match="rows cannot be shared"):
        parallel.shard({"x": np.zeros(12)})


def test_device_counts():
    assert len(choose_devices(None)) == 8
    assert choose_devices(3) == jax.devices()[:3]
    with pytest.raises(JaxnetsError, match="has 8 cpu device"):
        choose_devices(9)


def test_unknown_mode():
    with pytest.raises(ValueError, match="'pmap' or 'jit'"):
        DataParallel("tpu")


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_replicate_copies_and_fetch_returns_the_tree(mode):
    parallel = DataParallel(mode)
    tree = {"a": np.arange(3, dtype=np.float32), "b": np.float32(2)}
    placed = parallel.replicate(tree)
    step = parallel.parallelize(lambda t, batch, *, axis_name: jax.tree.map(lambda x: x + 1, t))
    after = step(placed, parallel.shard(np.zeros(8)))
    fetched = parallel.fetch(after)
    np.testing.assert_array_equal(fetched["a"], [1, 2, 3])
    np.testing.assert_array_equal(tree["a"], [0, 1, 2])
    assert fetched["b"] == 3


def test_arguments_that_are_not_on_the_devices_are_explained():
    parallel = DataParallel("pmap", jax.devices()[:2])
    step = parallel.parallelize(lambda state, batch, *, axis_name: (state, batch["x"].sum()))
    batch = {"x": np.ones((4, 3), np.float32)}
    with pytest.raises(
        JaxnetsError, match=r"not replicated.*shape \(3,\).*DataParallel\.replicate"
    ):
        step(np.zeros(3), parallel.shard(batch))
    with pytest.raises(JaxnetsError, match=r"not sharded.*shape \(4, 3\).*DataParallel\.shard"):
        step(parallel.replicate(np.zeros(3)), batch)
    assert hasattr(step, "lower")  # whatever else pmap's functions have
