"""Time occlusion maps beside captum's, and Grad-CAM beside a forward and backward pass.

Command:  python -m experiments.interpret.benchmark_interpret --captum-python VENV/bin/python
Time:     three minutes on two CPU cores.
Result:   runs/benchmark_interpret/summary.json and a table: seconds of the occlusion of one 224×224
          image by SqueezeNet 1.1 at 196 places, ours and captum's, in turn on the same cores; and
          of Grad-CAM, and of one forward and backward pass for all parameters and pixels.

captum runs in a process of its own, in an environment that has torch, torchvision and captum; it
works only while ours waits. Without --captum-python only ours is timed. The machine should be idle:
PyTorch collapses when other processes run.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.errors import JaxnetsError
from jaxnets.interpret import grad_cam, occlusion_map
from jaxnets.models import create_model
from jaxnets.study.summaries import json_values, write_settings
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import write_json

# What the other process runs: one occlusion for each line that it reads.
CAPTUM = """
import importlib.util, sys, time
if importlib.util.find_spec("tvshim"):
    import tvshim
import torch, torchvision
from captum.attr import Occlusion
torch.manual_seed(0)
model = torchvision.models.squeezenet1_1().eval()
for m in model.modules():
    if isinstance(m, torch.nn.ReLU):
        m.inplace = True
x = torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE)
occlusion = Occlusion(lambda x: model(x).softmax(-1))
shape = {"sliding_window_shapes": (3, OCCLUDER, OCCLUDER), "strides": (3, STRIDE, STRIDE)}
print("ready", flush=True)
for line in sys.stdin:
    with torch.inference_mode():
        occlusion.attribute(x, target=0, perturbations_per_eval=int(line), **shape)
    print("done", flush=True)
"""


@dataclass(frozen=True)
class Config:
    """What to time.

    Attributes:
        captum_python: interpreter of an environment with captum; None times only ours.
        captum_path: put on that interpreter's PYTHONPATH.
        image_size: of the image, in pixels.
        occluder, stride: of the square; the default gives 14 × 14 places.
        batch_sizes: places computed together; each side is shown at its best.
        rounds: of timing.
        workdir: where the results go.
    """

    captum_python: Path | None = None
    captum_path: str = ""
    image_size: int = 224
    occluder: int = 16
    stride: int = 16
    batch_sizes: tuple[int, ...] = (14, 28, 49)
    rounds: int = 5
    workdir: Path = Path("runs/benchmark_interpret")


def smoke() -> Config:
    """Small, ours alone."""
    small = {"image_size": 40, "occluder": 20, "stride": 20, "batch_sizes": (4,), "rounds": 1}
    return Config(**small, workdir=Path("runs/smoke/benchmark_interpret"))


def captum_process(config: Config) -> subprocess.Popen:
    """A process that computes captum's map whenever it is sent a batch size."""
    code = CAPTUM
    for name in ("IMAGE_SIZE", "OCCLUDER", "STRIDE"):
        code = code.replace(name, str(getattr(config, name.lower())))
    environment = {**os.environ, "PYTHONPATH": config.captum_path}
    arguments = [str(config.captum_python), "-c", code]
    pipe = subprocess.PIPE
    process = subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True, env=environment)
    if process.stdout.readline() != "ready\n":
        process.kill()
        raise JaxnetsError(f"{config.captum_python} cannot run captum; see the message above")
    return process


def main(config: Config) -> dict[str, Any]:
    """Time, compare, and return seconds and ratios."""
    workdir = write_settings(config)
    model = create_model("squeezenet1_1")
    shape = (1, *[config.image_size] * 2, 3)
    x = np.random.default_rng(0).standard_normal(shape).astype("f")
    variables = jax.jit(model.init)(jax.random.key(0), x[:, :64, :64])

    def occlude(batch_size):
        options = {"size": config.occluder, "stride": config.stride, "batch_size": batch_size}
        return lambda: occlusion_map(model, variables, x, 0, **options).drop

    def loss(variables, x):
        return model.apply(variables, x)[:, 0].sum()

    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    calls = {f"occlusion, {n} at once": occlude(n) for n in config.batch_sizes}
    process = captum_process(config) if config.captum_python else None
    try:
        if process:

            def ask(n):
                def call():
                    process.stdin.write(f"{n}\n")
                    process.stdin.flush()
                    if process.stdout.readline() != "done\n":
                        raise JaxnetsError("captum's process ended; see its message above")

                return call

            calls |= {f"captum, {n} at once": ask(n) for n in config.batch_sizes}
        calls["Grad-CAM"] = lambda: grad_cam(model, variables, x, 0, layer="stage3")
        calls["forward and backward pass"] = lambda: both(variables, x)
        timings = time_calls(calls, rounds=config.rounds)
    finally:
        if process:
            process.communicate()
    seconds = {name: timing.median for name, timing in timings.items()}
    ours = min(v for k, v in seconds.items() if k.startswith("occlusion"))
    summary: dict[str, Any] = {"seconds": seconds, "occlusion": ours}
    summary["grad_cam_ratio"] = seconds["Grad-CAM"] / seconds["forward and backward pass"]
    if process:
        summary["captum"] = min(v for k, v in seconds.items() if k.startswith("captum"))
        summary["captum_ratio"] = ours / summary["captum"]
    write_json(workdir / "summary.json", json_values(summary))
    print("\n".join(f"{name:30s} {1e3 * value:9.1f} ms" for name, value in seconds.items()))
    print({k: round(v, 3) for k, v in summary.items() if k.endswith("ratio")})
    return summary


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
