"""What a run says while it goes on: a line an epoch, and on a terminal a bar below it."""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

# Metrics of a step that say little in a line of text.
_UNSAID = ("gradient_norm", "parameter_norm", "total_loss")


class Progress:
    """Prints "compiling …", then a line for each epoch; on a terminal also a bar.

    Args:
        first_step: the number of updates made before.
        last_step: at the end of the run.
        steps_per_epoch: updates in one epoch.
        examples_per_step: the global batch size.
        evaluates_at: whether an evaluation follows a step; the epoch's line then waits for it.
        output: where lines go (default: standard output). The bar goes to standard error, if that
            is a terminal.
        clock: seconds.

    >>> import itertools
    >>> progress = Progress(
    ...     first_step=0, last_step=4, steps_per_epoch=2, examples_per_step=10,
    ...     evaluates_at=lambda step: step == 4, clock=itertools.count().__next__)
    >>> progress.begin()
    compiling …
    >>> for step in (1, 2):
    ...     progress.update(10)
    ...     progress.observe(step, {"loss": 1 / step})
    compiled in 1.0 s
    epoch 1/2  loss 0.7500 · 10 examples/s · 0:02 left
    """

    def __init__(
        self,
        *,
        first_step: int,
        last_step: int,
        steps_per_epoch: int,
        examples_per_step: int,
        evaluates_at: Callable[[int], bool] = lambda step: False,
        output: TextIO | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self._first, self._last = first_step, last_step
        self._per_epoch, self._examples = steps_per_epoch, examples_per_step
        self._evaluates_at, self._output, self._clock = evaluates_at, output, clock
        self._bar: Any = None
        self._began: float | None = None
        # When the first step was done, which compiled, and when the last line was printed.
        self._started: float | None = None
        self._line_time, self._line_examples = 0.0, 0
        self._sums: dict[str, float] = {}
        self._count = 0
        self._pending: int | None = None

    def begin(self) -> None:
        """Say that compiling begins; the first `update` ends it."""
        self._say("compiling …")
        self._began = self._clock()

    def update(self, examples: int) -> None:
        """A step was handed to the devices."""
        if self._started is None:
            self._started = self._line_time = self._clock()
            if self._began is not None:
                self._say(f"compiled in {self._started - self._began:.1f} s")
            self._bar = self._open_bar()
        else:
            self._line_examples += examples
        if self._bar is not None:
            self._bar.update(examples)

    def observe(self, step: int, values: Mapping[str, float]) -> None:
        """The metrics of one step are known."""
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{values['loss']:.4f}", refresh=False)
        if step % self._per_epoch == 0 or step == self._last:
            if self._evaluates_at(step):
                self._pending = step
            else:
                self._line(step, "")

    def record(self, record: Mapping[str, Any]) -> None:
        """An evaluation (whatever is not of kind "train") ends the line of its epoch."""
        if record["kind"] == "train":
            return
        measured = _text({k: v for k, v in record.items() if k not in ("step", "kind")})
        text = f"{record['kind']} {measured}"
        if self._pending == record["step"]:
            self._line(record["step"], f" · {text}")
        else:
            self._say(text)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, step: int, measured: str) -> None:
        now = self._clock()
        means = {name: total / self._count for name, total in self._sums.items()}
        epochs = -(-self._last // self._per_epoch)
        epoch = f"{-(-step // self._per_epoch):>{len(str(epochs))}}/{epochs}"
        parts = [f"epoch {epoch}  {_text(means)}{measured}"]
        if self._line_examples and now > self._line_time:
            parts.append(f"{self._line_examples / (now - self._line_time):,.0f} examples/s")
        done = step - self._first - 1
        if self._started is not None and done > 0 and step < self._last:
            left = (self._last - step) * (now - self._started) / done
            parts.append(f"{_duration(left)} left")
        self._say(" · ".join(parts))
        self._sums, self._count, self._pending = {}, 0, None
        self._line_time, self._line_examples = now, 0

    def _say(self, text: str) -> None:
        # A terminal or a pipe that is gone is no reason to end a run.
        with contextlib.suppress(OSError, ValueError):
            if self._bar is not None:
                self._bar.write(text, file=self._output or sys.stdout)
            else:
                print(text, file=self._output or sys.stdout, flush=True)

    def _open_bar(self) -> Any:
        if sys.stderr is None or not sys.stderr.isatty():
            return None
        from tqdm import tqdm

        return tqdm(
            total=self._last * self._examples,
            initial=self._first * self._examples,
            unit=" examples",
            unit_scale=True,
            dynamic_ncols=True,
            smoothing=0.1,
            leave=False,
        )


def _text(metrics: Mapping[str, float]) -> str:
    # A compiled step gives its metrics in alphabetical order; the loss is read first.
    metrics = {"loss": metrics["loss"], **metrics} if "loss" in metrics else metrics
    return "  ".join(
        f"{name} {value:.4f}"
        for name, value in metrics.items()
        if name not in _UNSAID and isinstance(value, int | float)
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
