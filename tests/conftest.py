"""Eight simulated devices, a compilation cache inside the checkout, and what a plain run tries."""

import gc
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# For the modules that tests share.
sys.path.insert(0, str(ROOT / "tests"))
from turns import in_turn, is_broad, turn  # noqa: E402

# Before JAX starts: flags are read once, when its backend is made.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    " --xla_cpu_collective_call_terminate_timeout_seconds=120"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("MPLBACKEND", "agg")


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run the tests marked slow")


def pytest_configure(config):
    # LLVM's optimizations are half of the time of a plain run, most of which compiles programs that
    # run once. With --slow they are on, and always in the processes that tests start: those train.
    if not config.getoption("--slow"):
        flags = os.environ["XLA_FLAGS"]
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_optimization_level=0"
        import jax

        jax.devices()  # reads the flags
        os.environ["XLA_FLAGS"] = flags


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    left_out = {item.nodeid for item in items if "slow" in item.keywords}
    if {Path(argument).name for argument in config.args} == {"tests", "jaxnets"}:
        nodeids = [item.nodeid for item in items if item.nodeid not in left_out]
        left_out |= {*filter(is_broad, nodeids)} - in_turn(nodeids, turn())
    # Deselected, not skipped: a skip should always mean that something is missing.
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left_out])
    items[:] = [item for item in items if item.nodeid not in left_out]


# Linux gives a process 65,530 memory maps unless told otherwise, and every compiled program takes
# about seven: a whole suite in one process reaches the limit, and LLVM then ends the process.
MOST_MEMORY_MAPS = 20_000


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps():
    """Forget compiled programs after a module when this process has many of them."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MOST_MEMORY_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()


@pytest.fixture
def x64():
    """Run one test in float64."""
    import jax

    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of stored reference values."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def prepared_datasets() -> Path | None:
    """The folder with CIFAR-10 and MNIST as TFDS prepares them, where the machine has it."""
    for place in (os.environ.get("TFDS_DATA_DIR"), ROOT.parent / "shared" / "data" / "tfds"):
        if place and (Path(place) / "cifar10").is_dir():
            return Path(place)
    return None
