"""Torchvision's network in ONNX Runtime and OpenVINO, where they are installed: for a ratio."""

import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxnets.study.networks.torchvision_peer import prepare_network, random_inputs

LIBRARIES = ("onnxruntime", "openvino")


def available(dtype: str) -> list[str]:
    """Those of `LIBRARIES` that can run beside; ONNX Runtime has no bfloat16 on CPU.

    Args:
        dtype: compute dtype.

    Returns:
        Names.

    >>> set(available("float32")) <= set(LIBRARIES)
    True
    """
    left_out = lacking(dtype)
    return [] if "onnx" in left_out else [name for name in _wanted(dtype) if name not in left_out]


def lacking(dtype: str) -> list[str]:
    """What would have to be installed for all of them: the libraries, and onnx for the export.

    Args:
        dtype: compute dtype.

    Returns:
        Names of packages.

    >>> set(lacking("bfloat16")) <= {"onnx", "openvino"}
    True
    """
    return [name for name in ("onnx", *_wanted(dtype)) if importlib.util.find_spec(name) is None]


def _wanted(dtype: str) -> tuple[str, ...]:
    return LIBRARIES if dtype == "float32" else ("openvino",)


def prepare_runtime(
    library: str, name: str, batch_size: int, dtype: str
) -> tuple[Callable[[], None], int]:
    """Torchvision's network at inference, exported and loaded, on as many threads as JAX has.

    Args:
        library: one of `LIBRARIES`.
        name: our name of a network that torchvision has.
        batch_size: images at a time.
        dtype: compute dtype.

    Returns:
        A call that runs it once, and its number of parameters.
    """
    import torch

    network = prepare_network(name, "inference")
    threads = len(os.sched_getaffinity(0))
    images = random_inputs(name, batch_size).contiguous().numpy()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        torch.onnx.export(network, (torch.from_numpy(images),), path, dynamo=False)
        call = _load(library, path, images, threads, dtype)
    return call, sum(p.numel() for p in network.parameters())


def _load(
    library: str, path: str, images: np.ndarray, threads: int, dtype: str
) -> Callable[[], None]:
    if library == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.set_denormal_as_zero", "1")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        key = session.get_inputs()[0].name

        def call():
            session.run(None, {key: images})

        return call
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[dtype],
    }
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()

    def infer():
        request.infer([images], share_inputs=True)

    return infer
