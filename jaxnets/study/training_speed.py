"""How fast a network trains: the real step on real batches, its compilation, waiting for data."""

import time
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.data import Batches, Split, prefetch_to_device
from jaxnets.models import model_info
from jaxnets.study.timing import Timing, time_stream
from jaxnets.train import DataParallel, Task, create_state, train_step
from jaxnets.train.measure import matmul_flops_per_second, published_peak


class TrainingSpeed(NamedTuple):
    """What training took.

    Attributes:
        step: times of a step, from one step's end to the next one's.
        waiting_share: of the time that went into waiting for data.
        init_seconds: for drawing the parameters.
        compile_seconds: of the first step, which compiles.
    """

    step: Timing
    waiting_share: float
    init_seconds: float
    compile_seconds: float

    def summary(
        self, batch_size: int, macs: int, *, devices: int = 1, peak: float | None = None
    ) -> dict[str, float | None]:
        """JSON values: rates, times, and the arithmetic that follows from them.

        A step counts three forward passes, and a multiply-accumulate two operations.

        Args:
            batch_size: images a step.
            macs: multiply-accumulates of a forward pass of one image.
            devices: how many worked.
            peak: FLOP/s of one device to compare with.

        Returns:
            {"steps_per_second", "images_per_second", "milliseconds_per_step", "waiting_share",
            "init_seconds", "compile_seconds", "flops_per_second", "peak_flops_per_second" (of all
            devices), "share_of_peak"}; the last two None without a peak.
        """
        median = self.step.median
        flops = 6 * macs * batch_size / median
        return {
            "steps_per_second": 1 / median,
            "images_per_second": batch_size / median,
            "milliseconds_per_step": 1000 * median,
            "waiting_share": self.waiting_share,
            "init_seconds": self.init_seconds,
            "compile_seconds": self.compile_seconds,
            "flops_per_second": flops,
            "peak_flops_per_second": peak * devices if peak else None,
            "share_of_peak": flops / (peak * devices) if peak else None,
        }


def measure_training(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    source: Any,
    *,
    task: Task,
    parallel: DataParallel,
    batch_size: int,
    steps: int,
    prepare: Any = None,
) -> TrainingSpeed:
    """Train for some steps as `jaxnets.train` does: batches, prefetching, preparing and all.

    Args:
        model: the network.
        optimizer: an Optax transform.
        source: examples, a `jaxnets.data` source.
        task: what it is trained for.
        parallel: how the step meets the devices.
        batch_size: examples a step, over all devices.
        steps: how many are timed; two more come before, which fill the pipeline.
        prepare: (key, batch, example_ids) → batch on the device, or None.

    Returns:
        The `TrainingSpeed`.
    """
    clock = time.perf_counter()
    state = create_state(model, optimizer, source.take(np.arange(1)), jax.random.key(0), task=task)
    jax.block_until_ready(state.params)
    init_seconds = time.perf_counter() - clock

    step = parallel.parallelize(partial(train_step, task=task, prepare=prepare))
    state = parallel.replicate(state)
    with Batches(source, batch_size, seed=0).iterate() as host_batches:
        batches = prefetch_to_device(host_batches, parallel.shard)
        clock = time.perf_counter()
        state, metrics = step(state, next(batches))
        jax.block_until_ready(metrics)
        compile_seconds = time.perf_counter() - clock
        _, timing, waited = time_stream(step, state, batches, steps)
    return TrainingSpeed(timing, waited / sum(timing.seconds), init_seconds, compile_seconds)


def random_images(
    name: str, count: int, *, num_classes: int, image_size: int | None = None
) -> Split:
    """Random images as large as a network's published input, with random labels.

    Args:
        name: of the network.
        count: of images.
        num_classes: of labels.
        image_size: height and width; None for the published ones.

    Returns:
        Images uint8 (count, H, W, C), labels int32 (count,).

    >>> random_images("lenet5", 4, num_classes=10).images.shape
    (4, 32, 32, 1)
    """
    info = model_info(name)
    size = image_size or info.input_size
    height, width = (size, size) if isinstance(size, int) else size[:2]
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, height, width, info.channels), np.uint8)
    return Split(images, rng.integers(0, num_classes, count).astype(np.int32))


def peak_flops(dtype: str) -> tuple[str, float | None]:
    """What FLOP/s of one device are compared with: on a CPU a measured product, else its peak.

    Args:
        dtype: the compute dtype.

    Returns:
        What it is, and multiplications and additions per second; None for an unknown device.
    """
    device = jax.devices()[0]
    if device.platform == "cpu":
        return "measured matrix product", matmul_flops_per_second(jnp.float32)
    return "published peak", published_peak(device.device_kind, dtype)
