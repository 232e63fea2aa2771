"""Measure training: steps and images per second, waiting for data, compile time, memory, FLOP/s.

Command:  python -m experiments.benchmark_training
          python -m experiments.benchmark_training --model resnet50 --dtype bfloat16 \
              --batch-size 256
          python -m experiments.benchmark_training --model resnet20 --dataset cifar10
Time:     about a minute on two CPU cores for the default; the ResNet-50 line is what to run first
          on a GPU or TPU, where it takes about two minutes, most of it compilation.
Result:   a table of measurements, also in summary.json. FLOP/s count 2 per multiply-accumulate and
          three forward passes per step; their share is of the device's published dense peak in the
          compute dtype (on CPU: of a large float32 matrix product measured in the same run).

Without --dataset the images are random, as large as the network's published input, and come
through the same batches, prefetching and augmentation as real ones.
"""

import statistics
import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import command
from jaxnets.augment import augment_batch
from jaxnets.data import Batches, Split, load_dataset, prefetch_to_device
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import count_macs, count_parameters, model_info
from jaxnets.optim import create_optimizer
from jaxnets.tasks import classification
from jaxnets.tasks.recipe import build_network
from jaxnets.train import DataParallel, choose_devices, create_state, train_step
from jaxnets.train.measure import (
    hardware,
    matmul_flops_per_second,
    peak_memory_bytes,
    published_peak,
)
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        model: a name of `jaxnets.list_models()`.
        dataset: real images; random ones of the network's input size by default.
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        image_size: side of the random images (default: the network's published input).
        num_classes: classes of the random images.
        batch_size: images per step, over all devices.
        dtype: compute dtype.
        parallel: how the step meets the devices.
        devices: use this many (default: all).
        augment: flip and crop on the device.
        steps: measured steps.
        workdir: where summary.json goes.
    """

    model: str = "resnet20"
    dataset: str | None = None
    data_dir: Path | None = None
    image_size: int | None = None
    num_classes: int = 1000
    batch_size: int = 128
    dtype: Literal["float32", "bfloat16"] = "float32"
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None
    augment: bool = True
    steps: int = 30
    workdir: Path = Path("runs/benchmark_training")


def smoke() -> Config:
    """Three steps of a small network."""
    return Config(
        model="mlp",
        image_size=8,
        num_classes=10,
        batch_size=16,
        devices=1,
        steps=3,
        workdir=Path("runs/smoke/benchmark_training"),
    )


def main(config: Config) -> dict[str, Any]:
    """Measure and return ``{"images_per_second", "steps_per_second", "waiting_share", …}``."""
    if config.steps < 2:
        raise JaxnetsError(f"--steps must be at least 2, got {config.steps}")
    split, num_classes = _data(config)
    image_shape = split.images.shape[1:]
    parallel = DataParallel(config.parallel, choose_devices(config.devices))
    parallel.check_batch_size(config.batch_size)
    network = build_network(
        config.model,
        num_classes,
        config.dtype,
        synchronize=config.parallel == "pmap",
        auxiliary=False,
    )
    macs = count_macs(network, image_shape)
    standardize = fit_channel_mean_std(split.images[:512]).apply

    clock = time.perf_counter()
    tx = create_optimizer("momentum", 0.01)
    task = classification(num_classes, preprocess=standardize)
    example = split.take(np.arange(1))
    state = create_state(network, tx, example, jax.random.key(0), task=task)
    jax.block_until_ready(state.params)
    init_seconds = time.perf_counter() - clock

    step = parallel.parallelize(
        partial(
            train_step,
            task=task,
            prepare=augment_batch if config.augment else None,
        )
    )
    state = parallel.replicate(state)
    with Batches(split, config.batch_size, seed=0).iterate() as host_batches:
        batches = prefetch_to_device(host_batches, parallel.shard)
        clock = time.perf_counter()
        state, metrics = step(state, next(batches))
        jax.block_until_ready(metrics)
        compile_seconds = time.perf_counter() - clock
        state, step_seconds, waited = _measure(step, state, batches, config.steps)

    median = statistics.median(step_seconds)
    devices = len(parallel.devices)
    flops = 6 * macs * config.batch_size / median
    kind, peak = _peak(config.dtype)
    results = {
        **{name: value for name, value in asdict(config).items() if name != "workdir"},
        "data_dir": None,
        "parameters": count_parameters(network, image_shape),
        "macs_per_image": macs,
        "steps_per_second": 1 / median,
        "images_per_second": config.batch_size / median,
        "milliseconds_per_step": 1000 * median,
        "waiting_share": waited / sum(step_seconds),
        "init_seconds": init_seconds,
        "compile_seconds": compile_seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "flops_per_second": flops,
        "peak_flops_per_second": peak * devices if peak else None,
        "share_of_peak": flops / (peak * devices) if peak else None,
        "hardware": hardware(),
        "jax": jax.__version__,
    }
    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "summary.json", results)
    _print(results, kind)
    return results


def _data(config: Config) -> tuple[Split, int]:
    if config.dataset is not None:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir)
        return dataset.train, dataset.num_classes
    info = model_info(config.model)
    height, width = (config.image_size,) * 2 if config.image_size else _input_size(info)
    count = max(4 * config.batch_size, 512)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, height, width, info.channels), np.uint8)
    return Split(images, rng.integers(0, config.num_classes, count).astype(np.int32)), (
        config.num_classes
    )


def _input_size(info) -> tuple[int, int]:
    size = info.input_size
    return (size, size) if isinstance(size, int) else tuple(size[:2])


def _measure(step, state, batches, count):
    """Seconds of each of ``count`` steps, and the seconds of it that went into waiting for data."""
    seconds, waited = [], 0.0
    previous = None
    clock = time.perf_counter()
    for _ in range(count + 2):
        waiting_since = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - waiting_since
        state, metrics = step(state, batch)
        # As in training: the host looks at the metrics of an earlier step and never at the last.
        if previous is not None:
            jax.block_until_ready(previous)
        previous = metrics
        now = time.perf_counter()
        seconds.append(now - clock)
        clock = now
    jax.block_until_ready(previous)
    # The first two fill the pipeline.
    return state, seconds[2:], waited


def _peak(dtype: str) -> tuple[str, float | None]:
    device = jax.devices()[0]
    if device.platform == "cpu":
        return "measured matrix product", matmul_flops_per_second(jnp.float32)
    return "published peak", published_peak(device.device_kind, dtype)


def _print(results: dict[str, Any], kind: str) -> None:
    share = results["share_of_peak"]
    size = results["image_size"] or "published size"
    rows = [
        ("network", f"{results['model']}, {results['dtype']}, batch {results['batch_size']}"),
        ("images", results["dataset"] or f"random ({size})"),
        ("hardware", f"{results['hardware']} ({results['parallel']})"),
        ("images per second", f"{results['images_per_second']:,.1f}"),
        ("steps per second", f"{results['steps_per_second']:,.2f}"),
        ("milliseconds per step", f"{results['milliseconds_per_step']:,.1f} (median)"),
        ("waiting for data", f"{100 * results['waiting_share']:.2f} % of the time"),
        ("initialization", f"{results['init_seconds']:.1f} s"),
        ("first step (compiles)", f"{results['compile_seconds']:.1f} s"),
        ("peak memory", f"{results['peak_memory_bytes'] / 2**20:,.0f} MiB"),
        ("arithmetic", f"{results['flops_per_second'] / 1e9:,.1f} GFLOP/s"),
        (f"share of {kind}", f"{100 * share:.1f} %" if share else "unknown device"),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
