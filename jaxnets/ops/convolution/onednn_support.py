"""Whether oneDNN inside jaxlib may be called: platform, processor, jaxlib's version, a probe.

jaxlib for x86-64 Linux contains oneDNN, and XLA's CPU backend runs its primitives where a program
holds the custom calls that XLA's own rewriter would make. The configuration of these calls is no
public interface: earlier versions number its fields differently, and a wrong configuration ends the
process. So a call is made only where one of these holds:

* the version of jaxlib is in `TRIED`: every algorithm's test was run with it;
* a child process of this version computed the cases of `jaxnets.ops.convolution.onednn_probe` and
  all values were right. That is asked once, and the answer is kept in the cache directory.

The environment variable ``JAXNETS_ONEDNN=0``, set before the program starts, turns all of it off.
"""

import functools
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import jaxlib

# Versions whose configuration was tried: 0.10.2 with thousands of random convolutions of the fuzz
# test, on AMD Zen 5 and on Intel with AMX and AVX-512-FP16, 0.12.0.1 with the cases of the probe.
TRIED = frozenset({"0.10.2", "0.12.0.1"})

SWITCH = "JAXNETS_ONEDNN"
# Versions and processors with which some hundred random eight-bit convolutions were exact.
TRIED_INT8 = frozenset({("0.10.2", "avx512_bf16")})

PROBE = "jaxnets.ops.convolution.onednn_probe"
INT8_PROBE = "jaxnets.ops.convolution.int8_probe"
# Counts what the probe has come to ask for: an answer to an earlier one says nothing of the rest.
PROBE_EDITION = 2
PROBE_SECONDS = 300.0  # a machine on which many programs run starts Python slowly
# What oneDNN itself reads: with a lower limit it refuses half precision, which ends the process.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")

# From the widest down: name, the flags of /proc/cpuinfo that it needs.
INSTRUCTION_SETS = {
    "amx": {"amx_tile", "amx_bf16"},
    "avx512_bf16": {"avx512_bf16"},
    "avx512": {"avx512bw", "avx512dq", "avx512vl"},
    "avx2": {"avx2", "fma"},
}


@functools.cache
def processor_flags() -> frozenset[str]:
    """Flags of the first processor; none where the system does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def instruction_set(flags: frozenset[str] | None = None) -> str | None:
    """The widest of `INSTRUCTION_SETS` that a processor has, None below all of them.

    >>> instruction_set(frozenset({"avx2", "fma", "avx512bw", "avx512dq", "avx512vl"}))
    'avx512'
    """
    flags = processor_flags() if flags is None else flags
    return next((name for name, needs in INSTRUCTION_SETS.items() if needs <= flags), None)


def cache_directory() -> Path:
    """Where the probe's answer is kept: ``$JAXNETS_CACHE``, or ``~/.cache/jaxnets``."""
    return Path(os.environ.get("JAXNETS_CACHE") or Path.home() / ".cache" / "jaxnets")


def probe(program: str = PROBE) -> str:
    """Compute the probe's cases in a child process.

    Args:
        program: a module that prints "right" as its last line.

    Returns:
        "right", or what went wrong: the child's last words, its signal, or that it took too long.
    """
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", SWITCH: "probe"}
    # The child finds the package that its parent runs, wherever that lies.
    package = str(Path(__file__).resolve().parents[3])
    known = environment.get("PYTHONPATH", "")
    environment["PYTHONPATH"] = os.pathsep.join([package, known] if known else [package])
    try:
        done = subprocess.run(
            [sys.executable, "-m", program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the probe did not end: {error}"
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode == 0:
        return last or "the probe said nothing"
    return f"the probe ended with status {done.returncode}: {done.stderr.strip()[-300:]}"


def _remembered(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(path: Path, answers: dict[str, str]) -> None:
    """Replace the file in one step; a directory that cannot be written costs a probe each time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, delete=False, encoding="utf-8"
        ) as file:
            json.dump(answers, file, indent=1)
        os.replace(file.name, path)
    except OSError:
        return


@functools.cache
def schema_is_right(version: str, processor: str | None) -> bool:
    """Whether a jaxlib understands the configuration: a tried version, or what its probe said.

    Args:
        version: of jaxlib.
        processor: `instruction_set`.
    """
    if version in TRIED:
        return True
    return probed(f"jaxlib {version} on {processor}, probe {PROBE_EDITION}", PROBE)


@functools.cache
def int8_is_right(version: str, processor: str | None) -> bool:
    """Whether eight-bit convolutions are exact: tried, or what their own probe said.

    Args:
        version: of jaxlib.
        processor: `instruction_set`.
    """
    if (version, processor) in TRIED_INT8:
        return True
    return probed(f"int8, jaxlib {version} on {processor}", INT8_PROBE)


def probed(key: str, program: str) -> bool:
    """Whether a probe said "right", now or when it was asked before.

    Args:
        key: under which the answer is remembered.
        program: see `probe`.
    """
    path = cache_directory() / "onednn.json"
    answers = _remembered(path)
    if key not in answers:
        answers = {**_remembered(path), key: probe(program)}
        _remember(path, answers)
    return answers[key] == "right"


def cache_is_on() -> bool:
    """Whether JAX keeps compiled programs in a directory."""
    names = ("jax_enable_compilation_cache", "jax_compilation_cache_dir")
    return all(getattr(jax.config, name) for name in names)


def would_be_stored() -> bool:
    """Whether JAX would write a program that calls oneDNN to its persistent cache.

    XLA takes these calls for ordinary ones when it writes them, and reads memory that is not
    theirs. Up to 0.10 JAX leaves out programs with a callback, as which calls mark theirs
    (`jaxnets.ops.convolution.onednn_call.keep_in_memory`); 0.12 writes those as well.
    """
    return cache_is_on() and jax.__version_info__ >= (0, 11)


def available() -> bool:
    """Whether oneDNN may be called at all in this process."""
    switch = os.environ.get(SWITCH, "")
    if would_be_stored():
        return False
    if switch == "0" or sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    if instruction_set() is None or jax.default_backend() != "cpu":
        return False
    return switch == "probe" or schema_is_right(jaxlib.__version__, instruction_set())


def computes(dtype) -> bool:
    """Whether oneDNN has convolutions of ``dtype`` on this processor."""
    dtype, flags = jnp.dtype(dtype), processor_flags()
    if dtype == jnp.float32:
        return True
    if any(name in os.environ for name in LIMITS):
        return False
    if dtype == jnp.bfloat16:
        return INSTRUCTION_SETS["avx512"] <= flags
    return dtype == jnp.float16 and {"avx512_fp16"} | INSTRUCTION_SETS["avx512"] <= flags


def stands_still(groups: int, rank: int) -> bool:
    """Whether convolutions by groups over ``rank`` axes reach a oneDNN kernel that can hang.

    Without AVX-512, oneDNN has no kernel of its own for most of those over one and three axes, and
    takes its general one, whose parallel sections hold further ones. XLA's threads of jaxlib
    0.10.2 cannot serve these: if the outer section's other half has ended, both wait forever
    (seen after 1,000 to 20,000 calls). With AVX-512 it is taken for windows wider than their input
    only, which `jaxnets.ops.convolution.onednn.convolve` pads.

    Args:
        groups: of channels.
        rank: spatial axes.

    >>> stands_still(groups=1, rank=1)
    False
    """
    wide = INSTRUCTION_SETS["avx512"] <= processor_flags()
    limited = any(name in os.environ for name in LIMITS)
    return groups > 1 and rank != 2 and (limited or not wide)


def compute_dtype(dtype) -> jnp.dtype | None:
    """What a convolution of ``dtype`` is computed in: itself, or float32; None: not by oneDNN."""
    dtype = jnp.dtype(dtype)
    if computes(dtype):
        return dtype
    return jnp.dtype(jnp.float32) if dtype.itemsize == 2 else None
