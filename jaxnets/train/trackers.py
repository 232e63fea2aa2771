"""Where measurements go besides ``metrics.jsonl``: TensorBoard, Weights & Biases, MLflow."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from jaxnets.errors import JaxnetsError

Name = Literal["tensorboard", "wandb", "mlflow"]
PROJECT = "jaxnets"


class Tracker(Protocol):
    """What a run sends its records to."""

    def write(self, record: Mapping[str, Any]) -> None:
        """Take one record; it has ``step``, ``kind`` and numbers."""

    def close(self) -> None:
        """Send what is left."""


def open_trackers(
    names: Sequence[str], directory: Path, settings: Mapping[str, Any]
) -> list[Tracker]:
    """Open trackers by name.

    Args:
        names: "tensorboard", "wandb", "mlflow".
        directory: the run's; its name is the run's name.
        settings: the run's settings, which the tracker keeps beside the curves.

    Returns:
        One tracker a name.

    Raises:
        JaxnetsError: a tracker's library is not installed, or it refuses to begin.

    >>> open_trackers((), Path("runs/mine"), {})
    []
    """
    opened: list[Tracker] = []
    for name in names:
        try:
            opened.append(_TRACKERS[name](directory, settings))
        except ImportError as error:
            raise JaxnetsError(
                f"--log {name} needs {_PACKAGES[name]}: pip install 'jaxnets[{name}]'"
            ) from error
        except JaxnetsError:
            raise
        except Exception as error:  # each of them has its own errors: no key, no server, no disk
            raise JaxnetsError(
                f"--log {name}: {type(error).__name__}: {str(error)[:300]}. Metrics are in "
                "metrics.jsonl in any case; leave --log out, or see the library's own help"
            ) from error
    return opened


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if name != "step" and isinstance(value, int | float):
            yield f"{record['kind']}/{name}", value


class _TensorBoard:
    def __init__(self, directory: Path, settings: Mapping[str, Any]):
        from tensorboardX import SummaryWriter

        del settings
        self._writer = SummaryWriter(str(directory / "tensorboard"))

    def write(self, record: Mapping[str, Any]) -> None:
        for name, value in _numbers(record):
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, directory: Path, settings: Mapping[str, Any]):
        import wandb

        self._run = wandb.init(
            project=PROJECT,
            name=directory.name,
            dir=str(directory),
            config=dict(settings),
            resume="allow",
        )

    def write(self, record: Mapping[str, Any]) -> None:
        self._run.log(dict(_numbers(record)), step=record["step"])

    def close(self) -> None:
        self._run.finish()


class _Mlflow:
    def __init__(self, directory: Path, settings: Mapping[str, Any]):
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment(PROJECT)
        mlflow.start_run(run_name=directory.name)
        mlflow.log_params({name: str(value)[:500] for name, value in settings.items()})

    def write(self, record: Mapping[str, Any]) -> None:
        self._mlflow.log_metrics(dict(_numbers(record)), step=record["step"])

    def close(self) -> None:
        self._mlflow.end_run()


_TRACKERS: dict[str, Any] = {"tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _Mlflow}
_PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
