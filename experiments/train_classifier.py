"""Train a network on images, on any number of devices; a killed run goes on where it was.

Command:  python -m experiments.train_classifier
          python -m experiments.train_classifier --dataset mnist --epochs 6
          python -m experiments.train_classifier --dataset cifar10 --model resnet20 \
              --optimizer nesterov --learning-rate 0.1 --weight-decay 1e-4 --augment crop_flip \
              --batch-size 128 --epochs 12
Time:     digits with LeNet-5 about half a minute on two CPU cores, compilation included.
Result:   test accuracy of at least 98 % on digits; the README's table has the others.

The run lives in --workdir: config.json, metrics.jsonl, checkpoints/, and when it has ended
summary.json, curves.png, confusion.png and filters.png. The same command again resumes it.
On a pod, start the same command on every host with --distributed.
"""

import contextlib
import signal
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np

from jaxnets import command
from jaxnets.data import Batches, Dataset, load_dataset, prefetch_to_device
from jaxnets.data.preprocessing import fit_channel_mean_std
from jaxnets.errors import JaxnetsError
from jaxnets.models import count_macs, count_parameters
from jaxnets.optim import Plateau
from jaxnets.tasks import ClassifierInfo, Recipe
from jaxnets.tasks import recipe as build
from jaxnets.tasks.report import first_filters, save_confusion, save_curves, save_filters
from jaxnets.train import (
    Checkpoints,
    DataParallel,
    Evaluator,
    MetricsLog,
    NonFiniteLossError,
    Processes,
    RunDirectory,
    StopRequest,
    choose_devices,
    create_state,
    read_metrics,
    restore_state,
    run_loop,
    state_arrays,
    train_step,
)
from jaxnets.train.arrays import named_leaves, tree_sha256
from jaxnets.train.measure import hardware, peak_memory_bytes
from jaxnets.train.processes import from_main, is_main, join
from jaxnets.train.run_directory import settings_of, write_json


@dataclass(frozen=True)
class Config(Recipe, Processes):
    """The recipe decides what is learned; the options below only how the run is carried out.

    Attributes:
        workdir: where the run lives (default: runs/train_classifier/DATASET-MODEL).
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        parallel: how the step meets the devices.
        devices: use this many devices (default: all).
        evaluate_every: evaluate on the test set every so many epochs, and at the end.
        log_every: write the training metrics' means every so many steps.
        checkpoint_seconds: save about this often, and at the end.
        keep: checkpoints to keep.
        tensorboard: also write TensorBoard event files.
        accept_changes: go on with an unfinished run under changed settings.
        restart: begin anew; the old run's directory is moved aside.
        quiet: no progress bar and no report on the terminal.
    """

    workdir: Path | None = None
    data_dir: Path | None = None
    parallel: Literal["pmap", "jit"] = "pmap"
    devices: int | None = None
    evaluate_every: int = 1
    log_every: int = 10
    checkpoint_seconds: float = 30.0
    keep: int = 3
    tensorboard: bool = False
    accept_changes: bool = False
    restart: bool = False
    quiet: bool = False

    @property
    def run_path(self) -> Path:
        name = f"{self.dataset}-{self.model}".replace("/", "-").replace(":", "-")
        return self.workdir or Path("runs/train_classifier") / name


def smoke() -> Config:
    """Two epochs of a small network on a part of the digits."""
    return Config(
        model="mlp",
        train_examples=200,
        epochs=2,
        warmup_epochs=0,
        batch_size=40,
        workdir=Path("runs/smoke/train_classifier"),
        devices=1,
        restart=True,
        quiet=True,
    )


def main(config: Config) -> dict[str, Any]:
    """Train (or resume) and return the contents of ``summary.json``.

    A run that was asked to stop (SIGTERM, Ctrl-C) returns ``{"interrupted_at": step}`` after it
    has saved its state.
    """
    config.check()
    join(config)
    say = print if is_main() and not config.quiet else _silent
    dataset = load_dataset(
        config.dataset, data_dir=config.data_dir, train_examples=config.train_examples
    )
    parallel = DataParallel(config.parallel, choose_devices(config.devices))
    parallel.check_batch_size(config.batch_size, config.microbatches)
    batches = Batches(
        dataset.train,
        config.batch_size,
        seed=config.seed,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    network = build.build_network(
        config.model, dataset.num_classes, config.dtype, synchronize=config.parallel == "pmap"
    )
    schedule = build.build_schedule(config, batches.steps_per_epoch)
    optimizer = build.build_optimizer(config, schedule)
    # The directory comes last, so that a mistake above leaves nothing behind. Only process 0
    # owns it; the others train along.
    directory = (
        RunDirectory(
            config.run_path,
            settings_of(config, Recipe),
            accept_changes=config.accept_changes,
            restart=config.restart,
        )
        if is_main()
        else contextlib.nullcontext()
    )
    with directory:
        if is_main():
            if directory.moved_to:
                say(f"the old run is in {directory.moved_to}")
            for change in directory.changes:
                say(f"changed: {change}")
            if directory.summary:
                say(_report(directory.summary, config.run_path))
                say("This run is finished; --restart begins anew.")
                return directory.summary
        key = jax.random.key(config.seed)
        state = create_state(network, optimizer, dataset.image_shape, key)
        plateau_hook = _plateau_hook(schedule, parallel)
        return _run(config, dataset, parallel, batches, network, state, plateau_hook, say)


def _run(config, dataset, parallel, batches, network, state, plateau_hook, say) -> dict[str, Any]:
    checkpoints = Checkpoints(
        config.run_path / "checkpoints",
        keep=config.keep,
        notify=lambda note: print(f"note: {note}"),
    )
    state, first_step = _resume(state, checkpoints)
    last_step = config.epochs * batches.steps_per_epoch
    info = _describe(config, dataset)

    say(
        f"{config.model} ({count_parameters(network, dataset.image_shape):,} parameters, "
        f"{count_macs(network, dataset.image_shape):,} MACs an image) on {config.dataset}: "
        f"{dataset.train.num_examples:,} images, {config.epochs} epochs, {hardware()}"
    )
    if first_step:
        say(f"going on from step {first_step} of {last_step} ({config.run_path})")

    step_fn = parallel.parallelize(
        partial(
            train_step,
            loss_fn=build.build_loss(config),
            augment=build.build_augmentation(config, dataset),
            mix=build.build_mix(config, dataset.num_classes),
            preprocess=info.preprocess,
            microbatches=config.microbatches,
        )
    )
    evaluator = Evaluator(
        network.apply,
        dataset.test,
        dataset.num_classes,
        parallel,
        preprocess=info.preprocess,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )

    latest: dict[str, Any] = {}

    def evaluate(state):
        measured = evaluator(state.variables)
        latest.update(measured)
        return {"loss": measured["loss"], "accuracy": measured["accuracy"]}

    def save(step, state):
        if is_main():
            meta = {"step": step, "next_batch": step, "classifier": info.to_json()}
            meta["config"] = settings_of(config, Recipe)
            checkpoints.save(step, state_arrays(state, parallel.fetch), meta)

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        stack.callback(checkpoints.close)
        host_batches = stack.enter_context(batches.iterate(first_step, last_step))
        log = _open_log(stack, config, first_step)
        bar = _open_bar(stack, config, first_step, last_step)
        try:
            result = run_loop(
                parallel.replicate(state),
                step_fn,
                prefetch_to_device(host_batches, parallel.shard),
                first_step=first_step,
                last_step=last_step,
                images_per_step=config.batch_size,
                record=log,
                record_every=config.log_every,
                evaluate=evaluate,
                evaluate_every=config.evaluate_every * batches.steps_per_epoch,
                after_evaluation=plateau_hook,
                save=save,
                save_seconds=config.checkpoint_seconds,
                stop_requested=stop.requested,
                progress=bar,
            )
        except NonFiniteLossError as error:
            checkpoints.wait()
            good = checkpoints.steps()
            where = f"of step {good[-1]} in {checkpoints.directory}" if good else "none yet"
            raise JaxnetsError(
                f"{error}. The last good checkpoint: {where}. A lower --learning-rate, "
                "--clip-norm 1 or a longer --warmup-epochs usually helps; to go on from the "
                "checkpoint with it, add --accept-changes."
            ) from error
        checkpoints.wait()
        if result.stopped:
            say(f"\nstopped and saved at step {result.step}; the same command goes on from there.")
            if stop.signal == signal.SIGINT:
                raise KeyboardInterrupt
            return {"interrupted_at": result.step}
    # The loop measured the final state; only a run resumed at its very end has not yet.
    measured = latest or evaluator(result.state.variables)
    summary = _summarize(config, parallel, measured, result)
    if is_main():
        params = parallel.fetch(result.state.params)
        _write_results(config, dataset, summary, measured["confusion"], params, batches)
    say(_report(summary, config.run_path))
    return summary


def _resume(state, checkpoints):
    """The state to begin with, and its step; process 0's is what every process gets."""
    first_step = 0
    if is_main():
        found = checkpoints.restore()
        if found is not None:
            state = restore_state(state, found.arrays)
            # A damaged newer step was passed over; it must not shadow what comes now.
            checkpoints.remove_after(found.step)
            first_step = found.step
    if jax.process_count() > 1:
        key = jax.random.key_data(state.key)
        tree = jax.tree.map(np.asarray, (state.replace(key=key), first_step))
        state, first_step = from_main(tree)
        state = state.replace(key=jax.random.wrap_key_data(np.asarray(state.key)))
        first_step = int(first_step)
    return state, first_step


def _describe(config: Config, dataset: Dataset) -> ClassifierInfo:
    statistics = fit_channel_mean_std(dataset.train.images)
    return ClassifierInfo(
        model=config.model,
        dtype=config.dtype,
        class_names=tuple(dataset.class_names),
        image_shape=tuple(dataset.image_shape),
        mean=tuple(map(float, np.ravel(statistics.mean))),
        std=tuple(map(float, np.ravel(statistics.std))),
        dataset=config.dataset,
    )


def _plateau_hook(schedule, parallel):
    """Tell a plateau schedule the test loss after each evaluation."""
    if not isinstance(schedule, Plateau):
        return None

    def observe(state, measured):
        def one(opt_state):
            return schedule.observe(opt_state, measured["loss"])

        per_device = parallel.mode == "pmap"
        return state.replace(opt_state=(jax.vmap(one) if per_device else one)(state.opt_state))

    return observe


def _open_log(stack, config, first_step):
    if not is_main():
        return _silent
    log = MetricsLog(config.run_path, after_step=first_step, tensorboard=config.tensorboard)
    return stack.enter_context(log).write


def _open_bar(stack, config, first_step, last_step):
    if config.quiet or not is_main():
        return None
    from tqdm import tqdm

    return stack.enter_context(
        tqdm(
            total=last_step * config.batch_size,
            initial=first_step * config.batch_size,
            unit=" images",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.1,
        )
    )


def _summarize(config, parallel, measured, result) -> dict[str, Any]:
    return {
        "dataset": config.dataset,
        "model": config.model,
        "test_accuracy": measured["accuracy"],
        "test_loss": measured["loss"],
        "steps": result.step,
        "epochs": config.epochs,
        "params_sha256": tree_sha256(named_leaves(parallel.fetch(result.state.params))),
        "images_per_second": round(result.images_per_second, 1),
        "waiting_share": round(result.waiting_share, 5),
        "first_step_seconds": round(result.first_step_seconds, 3),
        "training_seconds": round(result.seconds + result.first_step_seconds, 3),
        "peak_memory_bytes": peak_memory_bytes(),
        "hardware": hardware(),
        "jax": jax.__version__,
    }


def _write_results(config, dataset, summary, confusion, params, batches) -> None:
    path = config.run_path
    save_curves(read_metrics(path), path / "curves.png", epoch_steps=batches.steps_per_epoch)
    save_confusion(confusion, dataset.class_names, path / "confusion.png")
    filters = first_filters(params, dataset.image_shape)
    if filters is not None:
        save_filters(filters, path / "filters.png")
    # Last: its presence says that the run is finished.
    write_json(path / "summary.json", summary)


def _report(summary: dict[str, Any], path: Path) -> str:
    speed = summary["images_per_second"]
    memory = summary["peak_memory_bytes"] / 2**20
    return (
        f"test accuracy {100 * summary['test_accuracy']:.2f} % after {summary['epochs']} epochs, "
        f"{summary['steps']} steps; {speed:,.0f} images/s, peak memory {memory:,.0f} MiB\n"
        f"{path}: summary.json, metrics.jsonl, curves.png, confusion.png, filters.png"
    )


def _silent(*_: Any) -> None:
    """Says nothing."""


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
