"""Checkpoints by Orbax: written whole or not at all, checked by checksum when they are read.

Orbax makes a save atomic (a save that was killed leaves a temporary folder and the step before it
stays whole), but it does not notice overwritten bytes. Every checkpoint here therefore carries a
manifest: shape, dtype and SHA-256 of every array, and of the metadata. `Checkpoints.restore`
reads the newest step whose contents match their manifest.
"""

import contextlib
import hashlib
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.errors import JaxnetsError, explain_failure
from jaxnets.train.arrays import Arrays, array_sha256
from jaxnets.train.run_directory import to_json

_NOTES = logging.getLogger("jaxnets.checkpoint")


class Checkpoint(NamedTuple):
    """One restored checkpoint, as `Checkpoints.restore` gives it; unpacks as a triple.

    Attributes:
        step: the number of updates made when it was saved.
        arrays: NumPy arrays by path, such as ``"params/conv1/kernel"``; see `restore_state`.
        meta: the JSON values that were saved with them.

    >>> found = Checkpoint(3, {"params/w": np.ones((2, 4), np.float32)}, {"network": "mlp"})
    >>> step, arrays, meta = found
    >>> step, {path: array.shape for path, array in arrays.items()}, meta["network"]
    (3, {'params/w': (2, 4)}, 'mlp')
    """

    step: int
    arrays: Arrays
    meta: dict[str, Any]


class DamagedCheckpointError(JaxnetsError):
    """A checkpoint that is truncated, overwritten or half-written."""


def _meta_sha256(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _make_manifest(
    step: int, run: str | None, arrays: Arrays, meta: dict[str, Any]
) -> dict[str, Any]:
    return {
        "step": step,
        "run": run,
        "arrays": {
            path: {
                "dtype": array.dtype.name,
                "shape": list(array.shape),
                "sha256": array_sha256(array),
            }
            for path, array in arrays.items()
        },
        "meta_sha256": _meta_sha256(meta),
    }


def _verify(
    step: int, run: str | None, arrays: Arrays, meta: dict[str, Any], manifest: dict[str, Any]
) -> None:
    if manifest.get("step", step) != step:
        raise DamagedCheckpointError(f"it was saved as step {manifest['step']}")
    if None not in (run, manifest.get("run")) and manifest["run"] != run:
        raise DamagedCheckpointError("it was saved by another run")
    if _meta_sha256(meta) != manifest.get("meta_sha256"):
        raise DamagedCheckpointError("its metadata does not match its checksum")
    expected = manifest.get("arrays", {})
    if expected.keys() != arrays.keys():
        raise DamagedCheckpointError("its arrays are not those that its manifest lists")
    for path, entry in expected.items():
        if array_sha256(arrays[path]) != entry["sha256"]:
            raise DamagedCheckpointError(f"{path} does not match its checksum")


_STEP = re.compile("0|[1-9][0-9]*")


def _in_this_process(ocp: Any) -> Any:
    """Orbax's options for work in this process alone.

    One process saves, whatever the number of them: without its own number as the only active one,
    Orbax waits here for the others, who never come.
    """
    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=this, active_processes={this}, barrier_sync_key_prefix=f"process{this}"
    )


def _reader(ocp: Any) -> Any:
    """What reads one step of Orbax's layout and changes nothing on the disk."""
    _silence_orbax()
    options = _in_this_process(ocp)
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=options)
    )
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _silence_orbax() -> None:
    # What of Orbax's log matters to the user comes through `notify` and the errors.
    logging.getLogger("absl").addFilter(_not_from_orbax)
    # Of several arrays that cannot be read one is raised, the others are reported at exit.
    logging.getLogger("asyncio").addFilter(_not_from_tensorstore)


class Checkpoints:
    """The checkpoints of one run, in ``directory/<step>/``.

    Args:
        directory: where they live; made on the first save.
        keep: how many of the newest to keep.
        run: what the run is known by (`jaxnets.train.run_directory.run_id`); checkpoints
            that another run has saved are not restored.
        notify: called with one sentence for whatever the user should know (a damaged step that
            was passed over); by default it goes to the log ``jaxnets.checkpoint``.

    Example:
        >>> import numpy as np, tempfile
        >>> checkpoints = Checkpoints(tempfile.mkdtemp())
        >>> checkpoints.save(3, {"params/w": np.ones(2, np.float32)}, {"network": "mlp"})
        >>> checkpoints.restore().meta
        {'network': 'mlp'}
        >>> checkpoints.close()
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        keep: int = 3,
        run: str | None = None,
        notify: Callable[[str], None] = _NOTES.warning,
    ):
        self.directory = Path(directory).absolute()
        self._keep, self._run = keep, run
        self._notify = notify
        self._manager = None

    def _open(self):
        """Orbax's manager, which makes the directory and clears away what a killed save left.

        For the run that saves alone: a reader must not disturb a save in progress.
        """
        if self._manager is None:
            import orbax.checkpoint as ocp

            _silence_orbax()
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(
                self.directory,
                options=ocp.CheckpointManagerOptions(
                    max_to_keep=self._keep,
                    create=False,
                    cleanup_tmp_directories=True,
                    multiprocessing_options=_in_this_process(ocp),
                ),
            )
        return self._manager

    def steps(self) -> list[int]:
        """The steps that were saved completely, oldest first.

        Raises:
            JaxnetsError: the directory is a file, or cannot be read.
        """
        try:
            # Whatever else lies there ("007", "²", files) is not a step.
            found = [p for p in self.directory.iterdir() if _STEP.fullmatch(p.name) and p.is_dir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise JaxnetsError(
                f"no checkpoints can lie in {self.directory}: {error.strerror}"
            ) from error
        return sorted(int(p.name) for p in found)

    def newest_whole(self) -> int | None:
        """The newest step whose contents match their checksums; nothing is said of others."""
        for step in reversed(self.steps()):
            try:
                return self._read(step).step
            except DamagedCheckpointError:
                continue
        return None

    def save(self, step: int, arrays: Arrays, meta: dict[str, Any]) -> None:
        """Save in the background; the previous save is waited for first.

        Args:
            step: the number of updates made; it names the checkpoint. A step that is there
                already is left alone.
            arrays: NumPy arrays by path; they must not be changed until the save has ended.
            meta: JSON values: configuration, data position and the like.

        Raises:
            JaxnetsError: a value is NaN or infinite (such a state is never saved over a good
                one; the best value that a schedule has seen may be infinite), or the directory
                cannot be written.
        """
        bad = [path for path, array in arrays.items() if not _may_be_saved(path, array)]
        if bad:
            raise JaxnetsError(
                f"step {step} is not saved: {bad[0]} holds NaN or infinite values"
                f"{_last_good(self.newest_whole())}"
            )
        import orbax.checkpoint as ocp

        try:
            manager = self._open()
            manager.wait_until_finished()
            if step in self.steps():
                return
            # Plain JSON types, so that the checksum of what is read equals that of what is saved.
            meta = to_json(meta)
            saved = manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(unflatten_dict(arrays, sep="/")),
                    meta=ocp.args.JsonSave(meta),
                    manifest=ocp.args.JsonSave(_make_manifest(step, self._run, arrays, meta)),
                ),
            )
            if not saved:
                # Orbax saves nothing below the highest number that it finds.
                raise JaxnetsError(
                    f"step {step} is not saved: {self.directory} holds a later step"
                    f"{_last_good(self.newest_whole())}"
                )
        except JaxnetsError:
            raise
        except Exception as error:
            # The operating system's own, or what TensorStore made of it in a thread of its own.
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> JaxnetsError:
        action = f"save a checkpoint in {self.directory}"
        try:
            good = _last_good(self.newest_whole())
        except JaxnetsError:
            good = ""
        return JaxnetsError(explain_failure(action, error).rstrip(".") + good)

    def restore(self, step: int | None = None) -> Checkpoint | None:
        """The newest whole checkpoint (or the one of ``step``), or None if there is none.

        A damaged newest step is passed over, with a note to the user that says which and why.

        Raises:
            JaxnetsError: there are checkpoints but none of them is whole, or ``step`` was asked
                for and is missing or damaged.
        """
        self.wait()
        steps = self.steps()
        if step is not None:
            if step not in steps:
                raise JaxnetsError(
                    f"no checkpoint of step {step} in {self.directory}; there are "
                    f"{', '.join(map(str, steps)) or 'none'}"
                )
            return self._read(step)
        for candidate in reversed(steps):
            try:
                return self._read(candidate)
            except DamagedCheckpointError as error:
                if not (self.directory / str(candidate)).is_dir():
                    # The run went on meanwhile, and has a newer one instead.
                    return self.restore()
                self._notify(f"checkpoint of step {candidate} is passed over: {error}")
        if steps:
            raise JaxnetsError(
                f"none of the checkpoints in {self.directory} is whole "
                f"(steps {', '.join(map(str, steps))}). Start anew in another --workdir, "
                "or with --restart, which keeps the old files beside the new."
            )
        return None

    def _read(self, step: int) -> Checkpoint:
        import orbax.checkpoint as ocp

        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(),
            meta=ocp.args.JsonRestore(),
            manifest=ocp.args.JsonRestore(),
        )
        try:
            with _quiet_canceled_reads():
                restored = _reader(ocp).restore(self.directory / str(step), args=items)
            arrays = {
                path: np.asarray(leaf)
                for path, leaf in flatten_dict(restored["state"], sep="/").items()
            }
            meta, manifest = restored["meta"], restored["manifest"]
            _verify(step, self._run, arrays, meta, manifest)
        except DamagedCheckpointError:
            raise
        except Exception as error:
            # Orbax, TensorStore and JSON each raise their own kinds for damaged files; whatever
            # it is, the step cannot be read and an older one may.
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else ""
            raise DamagedCheckpointError(
                f"it cannot be read ({type(error).__name__}: {reason})"
            ) from error
        return Checkpoint(step, arrays, meta)

    def remove_after(self, step: int) -> None:
        """Delete checkpoints newer than ``step``: damaged ones, once an older one is in use."""
        for newer in [s for s in self.steps() if s > step]:
            self._open().delete(newer)

    def wait(self) -> None:
        """Wait until everything is on the disk."""
        if self._manager is not None:
            try:
                self._manager.wait_until_finished()
            except Exception as error:
                raise self._failed(error) from error

    def close(self) -> None:
        """Wait for the last save and release Orbax's threads."""
        manager, self._manager = self._manager, None
        if manager is not None:
            try:
                manager.close()
            except Exception as error:
                raise self._failed(error) from error


@contextlib.contextmanager
def _quiet_canceled_reads() -> Iterator[None]:
    """Keep one kind of noise off the terminal: when one array of a damaged checkpoint fails, the
    reads of the others finish on an event loop that Orbax has closed already."""
    usual = sys.unraisablehook

    def hook(unraisable):
        if str(unraisable.exc_value) != "Event loop is closed":
            usual(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    except Exception:
        time.sleep(0.05)  # for the reads that are still on their way
        raise
    finally:
        sys.unraisablehook = usual


def _not_from_tensorstore(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return "tensorstore_spec" not in str(error)


def _not_from_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname


# What may be infinite, by its role: the best value so far, before the first one is known, as
# `jaxnets.optim.Plateau` and Optax's schedules for plateaus call it.
_INFINITE_AT_FIRST = ("best", "best_value")


def _may_be_saved(path: str, array: np.ndarray) -> bool:
    if not np.issubdtype(array.dtype, np.inexact) and array.dtype.name != "bfloat16":
        return True
    values = array.astype(np.float32, copy=False)
    role = path.rsplit("/", 1)[-1]
    if path.startswith("opt_state/") and role in _INFINITE_AT_FIRST and array.ndim == 0:
        return not np.isnan(values)
    return bool(np.isfinite(values).all())


def _last_good(step: int | None) -> str:
    return "" if step is None else f"; the last good checkpoint is of step {step}"
