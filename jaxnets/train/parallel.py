"""How one step function meets the devices: replicated parameters, a shared batch."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxnets.errors import JaxnetsError
from jaxnets.train.arrays import is_key
from jaxnets.train.state import TrainState

PyTree = Any
Mode = Literal["pmap", "jit"]

# The axis over which a batch is shared: `train_step(axis_name=…)`, `BatchNorm(axis_name=…)`.
BATCH_AXIS = "batch"


class DataParallel:
    """Places states and batches on devices and compiles steps for them.

    Two modes, one meaning: every device holds the whole state and its share of the batch, and
    gradients are averaged over all devices.

    - ``"pmap"``: the step runs once per device with ``axis_name="batch"``; arrays carry a leading
      device axis. Batch statistics are per device unless ``BatchNorm(axis_name="batch")``.
    - ``"jit"``: the step runs once on arrays sharded over a mesh and the compiler inserts the
      communication. Batch statistics and dropout are those of the whole batch.

    Args:
        mode: ``"pmap"`` or ``"jit"``.
        devices: the devices of all processes to use (default: `jax.devices()`).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> parallel = DataParallel("jit", jax.devices()[:1])
        >>> def step(state, batch, *, axis_name=None):
        ...     return state + batch["x"].mean(), {"seen": batch["x"].sum()}
        >>> compiled = parallel.parallelize(step)
        >>> state = parallel.replicate(jnp.float32(1))
        >>> state, metrics = compiled(state, parallel.shard({"x": np.arange(4, dtype=np.float32)}))
        >>> float(parallel.fetch(state)), float(parallel.fetch(metrics)["seen"])
        (2.5, 6.0)
    """

    def __init__(self, mode: Mode = "pmap", devices: Sequence[jax.Device] | None = None):
        if mode not in ("pmap", "jit"):
            raise ValueError(f"mode must be 'pmap' or 'jit', got {mode!r}")
        self.mode = mode
        self.devices = list(jax.devices() if devices is None else devices)
        here = [d for d in self.devices if d.process_index == jax.process_index()]
        if not here:
            raise JaxnetsError(
                f"process {jax.process_index()} has none of the {len(self.devices)} chosen "
                "devices; every process must take part"
            )
        self.local_devices = here
        # pmap addresses the devices of this process; a mesh spans those of all processes.
        mesh_devices = here if mode == "pmap" else self.devices
        mesh = Mesh(np.array(mesh_devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))
        self._shared = NamedSharding(mesh, PartitionSpec(BATCH_AXIS))
        self._whole = NamedSharding(mesh, PartitionSpec())

    def check_batch_size(self, batch_size: int, microbatches: int = 1) -> None:
        """Raise a `JaxnetsError` unless every device gets an equal, divisible share."""
        count = len(self.devices)
        if batch_size < 1 or batch_size % (count * microbatches):
            unit = count * microbatches
            below, above = batch_size // unit * unit, (batch_size // unit + 1) * unit
            near = f"{below} or {above}" if below else f"{above}"
            parts = f" in {microbatches} parts each" if microbatches > 1 else ""
            raise JaxnetsError(
                f"a batch of {batch_size} examples cannot be shared by {count} devices{parts}. "
                f"Take --batch-size {near}, or another number of --devices."
            )

    def parallelize(
        self, step: Callable, *, donate: bool = True, carried: bool = False
    ) -> Callable:
        """Compile ``step(state, batch, *, axis_name)`` for these devices.

        Args:
            step: a pure function; its first argument is replicated, its second shared, and all
                that it returns must be equal on all devices (averaged over ``axis_name``).
            donate: give the first argument's memory to the result. The caller must not use that
                argument again.
            carried: the first argument is a `TrainState` with a ``carry`` (`Task.carried`), which
                is shared like the batch.
        """
        donated = (0,) if donate else ()
        if self.mode == "pmap":
            mapped = functools.partial(step, axis_name=BATCH_AXIS)
            compiled = jax.pmap(
                mapped, axis_name=BATCH_AXIS, devices=self._pmap_devices(), donate_argnums=donated
            )
            return _Explained(compiled, len(self.local_devices))
        whole = functools.partial(
            jax.jit, functools.partial(step, axis_name=None), donate_argnums=donated
        )
        if not carried:
            return whole(in_shardings=(self._whole, self._shared), out_shardings=self._whole)

        @functools.cache
        def compile_like(structure):
            # Shardings have the state's own structure, which the first call tells.
            state = jax.tree.unflatten(structure, [self._whole] * structure.num_leaves)
            state = state.replace(carry=jax.tree.map(lambda _: self._shared, state.carry))
            return whole(in_shardings=(state, self._shared), out_shardings=(state, self._whole))

        return lambda state, batch: compile_like(jax.tree.structure(state))(state, batch)

    def _pmap_devices(self) -> list[jax.Device] | None:
        # pmap takes a device list in a single process only; with several it takes all of them.
        return self.devices if jax.process_count() == 1 else None

    def replicate(self, tree: PyTree) -> PyTree:
        """The whole tree on every device (host arrays or single-device arrays in).

        Of a `TrainState` with a ``carry``, each device gets the carry of its share of the batch;
        this process hands in that of its own share.
        """
        if isinstance(tree, TrainState) and tree.carry:
            return self.replicate(tree.replace(carry={})).replace(carry=self.shard(tree.carry))
        if self.mode == "pmap":
            count = len(self.local_devices)

            def copy(leaf):
                leaf = jax.numpy.asarray(leaf)
                return jax.device_put(
                    jax.numpy.broadcast_to(leaf, (count, *leaf.shape)), self._shared
                )

            return jax.tree.map(copy, tree)

        def place(leaf):
            if is_key(leaf):
                data = place(jax.random.key_data(leaf))
                return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
            # A copy, never the caller's own buffer: the first step gives its memory away.
            return jax.make_array_from_process_local_data(self._whole, np.array(leaf))

        return jax.tree.map(place, tree)

    def shard(self, batch: PyTree) -> PyTree:
        """This process's rows of a batch, spread over its devices in order."""
        count = len(self.local_devices)

        def put(leaf):
            leaf = np.asarray(leaf)
            if leaf.shape[0] % count:
                raise JaxnetsError(
                    f"a batch of {leaf.shape[0]} rows cannot be shared by {count} devices"
                )
            if self.mode == "pmap":
                return jax.device_put(
                    leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:]), self._shared
                )
            return jax.make_array_from_process_local_data(self._shared, leaf)

        return jax.tree.map(put, batch)

    def gather(self, tree: PyTree) -> PyTree:
        """What `shard` spread, as NumPy arrays (B, …) of the rows of all processes, on each."""

        def get(leaf):
            shards = sorted(leaf.addressable_shards, key=lambda shard: shard.index[0].start or 0)
            data = np.concatenate([np.asarray(shard.data) for shard in shards])
            data = data.reshape(-1, *data.shape[2:]) if self.mode == "pmap" else data
            return _of_all_processes(data)

        return jax.tree.map(get, tree)

    def fetch(self, tree: PyTree) -> PyTree:
        """A replicated tree as NumPy arrays without a device axis."""

        def get(leaf):
            if is_key(leaf):
                raise TypeError("fetch a key's data: jax.random.key_data(key)")
            # np.array copies: on CPU a view would share the buffer that the next step is given.
            data = np.array(leaf.addressable_shards[0].data)
            return data[0] if self.mode == "pmap" else data

        return jax.tree.map(get, tree)


class _Explained:
    """A function compiled by `pmap` that says which argument lies wrongly on the devices."""

    def __init__(self, function: Any, count: int):
        self._function, self._count = function, count

    def __getattr__(self, name: str) -> Any:  # lower, eval_shape and the like
        return getattr(self._function, name)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._function(*arguments)
        except ValueError as error:
            # Only after a failure: a step that works pays nothing.
            remedies = ("first", "replicated", "replicate"), ("second", "sharded", "shard")
            for argument, (which, state, method) in zip(arguments, remedies, strict=False):
                for leaf in jax.tree.leaves(argument):
                    shape = np.shape(leaf) if not is_key(leaf) else leaf.shape
                    if shape[:1] != (self._count,):
                        raise JaxnetsError(
                            f"the {which} argument of the step is not {state}: it holds an array "
                            f"of shape {tuple(shape)}, expected ({self._count}, …), a part for "
                            f"each of the {self._count} devices. Pass it through "
                            f"DataParallel.{method}"
                        ) from error
            raise


def _of_all_processes(rows: np.ndarray) -> np.ndarray:
    if jax.process_count() == 1:
        return rows
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))


def parallelize(
    step: Callable, mode: Mode = "pmap", devices: Sequence[jax.Device] | None = None
) -> Callable:
    """Compile one step function for all devices: `DataParallel(mode, devices).parallelize`.

    For those who place state and batch themselves; `DataParallel` also does that.

    Args:
        step: a pure ``step(state, batch, *, axis_name)``; what it returns must be equal on all
            devices, that is averaged over ``axis_name`` where that is not None.
        mode: ``"pmap"``: arrays carry a leading device axis; or ``"jit"``: arrays are global and
            the compiler shares them.
        devices: the devices of all processes to use (default: `jax.devices()`).

    Returns:
        The compiled (state, batch) → what ``step`` returns. It takes over the state's memory, so
        the caller must not use that state again.

    Raises:
        ValueError: another mode.
        JaxnetsError: none of the devices is this process's.

    >>> def step(state, batch, *, axis_name=None):
    ...     return state + batch.mean(), {"seen": batch.sum()}
    >>> compiled = parallelize(step, "jit", jax.devices()[:1])
    >>> state, metrics = compiled(jax.numpy.float32(1), jax.numpy.arange(4.0))
    >>> float(state), float(metrics["seen"])
    (2.5, 6.0)
    """
    return DataParallel(mode, devices).parallelize(step)


def choose_devices(count: int | None) -> list[jax.Device]:
    """The first ``count`` devices.

    Args:
        count: how many; None for all of them.

    Returns:
        Devices of all processes, in the order of `jax.devices`.

    Raises:
        JaxnetsError: more were asked for than there are, or fewer than all of a run that spans
            several processes.

    >>> len(choose_devices(1)), choose_devices(None) == jax.devices()
    (1, True)
    >>> choose_devices(0)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: --devices 0: this machine has ... device(s)...
    """
    devices = jax.devices()
    if count is None or count == len(devices):
        return devices
    if not 1 <= count <= len(devices):
        kind = devices[0].platform
        hint = (
            " (on CPU, XLA_FLAGS=--xla_force_host_platform_device_count=N simulates N)"
            if kind == "cpu"
            else ""
        )
        raise JaxnetsError(
            f"--devices {count}: this machine has {len(devices)} {kind} device(s){hint}"
        )
    if jax.process_count() > 1:
        raise JaxnetsError(
            f"--devices {count}: a run of several processes uses all {len(devices)} devices"
        )
    return devices[:count]
