"""Training, for any task: state, pure steps, devices, loop, checkpoints, whole runs."""

from jaxnets.train.arrays import restore_state, state_arrays
from jaxnets.train.checkpoint import Checkpoint, Checkpoints
from jaxnets.train.early_stopping import EarlyStopping, EarlyStoppingHook
from jaxnets.train.evaluate import Evaluator
from jaxnets.train.fit import fit
from jaxnets.train.loop import LoopResult, NonFiniteLossError, run_loop
from jaxnets.train.metrics_log import MetricsLog, read_metrics
from jaxnets.train.options import RunOptions
from jaxnets.train.parallel import BATCH_AXIS, DataParallel, choose_devices, parallelize
from jaxnets.train.processes import Processes, StopRequest
from jaxnets.train.reopen import Reopened, reopen
from jaxnets.train.run import Fitted
from jaxnets.train.run_directory import RunDirectory
from jaxnets.train.state import TrainState, create_state
from jaxnets.train.step import eval_step, train_step
from jaxnets.train.task import Task, TaskError

__all__ = [
    "BATCH_AXIS",
    "Checkpoint",
    "Checkpoints",
    "DataParallel",
    "EarlyStopping",
    "EarlyStoppingHook",
    "Evaluator",
    "Fitted",
    "LoopResult",
    "MetricsLog",
    "NonFiniteLossError",
    "Processes",
    "Reopened",
    "RunDirectory",
    "RunOptions",
    "StopRequest",
    "Task",
    "TaskError",
    "TrainState",
    "choose_devices",
    "create_state",
    "eval_step",
    "fit",
    "parallelize",
    "read_metrics",
    "reopen",
    "restore_state",
    "run_loop",
    "state_arrays",
    "train_step",
]
