"""One network's inference in three precisions, timed in turn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import create_model, model_info
from jaxnets.nn import optimize_for_inference, quantize_for_inference
from jaxnets.study.networks.workloads import sampled_variables
from jaxnets.study.timing import time_calls


def time_precisions(name: str, *, batch_size: int = 8, rounds: int = 7) -> dict[str, float]:
    """Milliseconds of a network that is optimized for inference: float32, bfloat16, int8.

    Args:
        name: of `jaxnets.list_models()`.
        batch_size: random images at a time.
        rounds: turns of each.

    Returns:
        Precision → the median.

    >>> sorted(time_precisions("lenet5", batch_size=1, rounds=1))
    ['bfloat16', 'float32', 'int8']
    """
    info, calls = model_info(name), {}
    images = np.random.default_rng(0).standard_normal((batch_size, *info.input_shape), np.float32)
    for label, dtype in (("float32", jnp.float32), ("bfloat16", jnp.bfloat16)):
        model, x = create_model(name, dtype=dtype), jnp.asarray(images, dtype)
        variables = sampled_variables(model, info.input_shape)
        optimized, folded = optimize_for_inference(model, variables, x)
        calls[label] = partial(jax.jit(optimized), folded, x)
        if dtype == jnp.float32:
            quantized, folded = quantize_for_inference(model, variables, [x])
            calls["int8"] = partial(jax.jit(quantized), folded, x)
    timings = time_calls(calls, rounds=rounds)
    return {label: timing.milliseconds for label, timing in timings.items()}
