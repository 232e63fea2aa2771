"""Measure training: steps and images per second, waiting for data, compile time, memory, FLOP/s.

Command:  jaxnets benchmark
          jaxnets benchmark --model resnet50 \
              --dtype bfloat16 --batch-size 256
          jaxnets benchmark --dataset cifar10
Time:     about a minute on two CPU cores for the default; the ResNet-50 line is what to run first
          on a GPU or TPU, where it takes about two minutes, most of it compilation.
Result:   a table of measurements, also in summary.json. FLOP/s count 2 per multiply-accumulate and
          three forward passes per step; their share is of the device's published dense peak in the
          compute dtype (on CPU: of a large float32 matrix product measured in the same run).

Without --dataset the images are random, as large as the network's published input.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jax

from jaxnets.augment import augment_batch
from jaxnets.data import load_dataset
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import count_macs, count_parameters
from jaxnets.optim import create_optimizer
from jaxnets.study.summaries import write_settings
from jaxnets.study.training_speed import measure_training, peak_flops, random_images
from jaxnets.tasks import classification
from jaxnets.tasks.recipe import build_network
from jaxnets.train import DataParallel, choose_devices
from jaxnets.train.measure import hardware, peak_memory_bytes
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


def main(config: Config) -> dict[str, Any]:
    """Measure and return ``{"images_per_second", "steps_per_second", "waiting_share", …}``."""
    if config.steps < 2:
        raise JaxnetsError(f"--steps must be at least 2, got {config.steps}")
    if config.dataset is None:
        count, num_classes = max(4 * config.batch_size, 512), config.num_classes
        size = {"image_size": config.image_size, "num_classes": num_classes}
        split = random_images(config.model, count, **size)
    else:
        dataset = load_dataset(config.dataset, data_dir=config.data_dir)
        split, num_classes = dataset.train, dataset.num_classes
    image_shape = split.images.shape[1:]
    parallel = DataParallel(config.parallel, choose_devices(config.devices))
    parallel.check_batch_size(config.batch_size)
    alike = {"synchronize": config.parallel == "pmap", "auxiliary": False}
    network = build_network(config.model, num_classes, config.dtype, **alike)
    macs = count_macs(network, image_shape)
    speed = measure_training(
        network,
        create_optimizer("momentum", 0.01),
        split,
        task=classification(num_classes, preprocess=fit_channel_mean_std(split.images[:512]).apply),
        parallel=parallel,
        batch_size=config.batch_size,
        steps=config.steps,
        prepare=augment_batch if config.augment else None,
    )
    kind, peak = peak_flops(config.dtype)
    results = {
        **{name: value for name, value in asdict(config).items() if name != "workdir"},
        "data_dir": None,
        "parameters": count_parameters(network, image_shape),
        "macs_per_image": macs,
        **speed.summary(config.batch_size, macs, devices=len(parallel.devices), peak=peak),
        "peak_memory_bytes": peak_memory_bytes(),
        "hardware": hardware(),
        "jax": jax.__version__,
    }
    write_settings(config)
    write_json(config.workdir / "summary.json", results)
    _print(results, kind)
    return results


def _print(results: dict[str, Any], kind: str) -> None:
    share = results["share_of_peak"]
    rows = [
        ("network", f"{results['model']}, {results['dtype']}, batch {results['batch_size']}"),
        ("images", results["dataset"] or f"random ({results['image_size'] or 'published size'})"),
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
