"""What a run says: one line an epoch, whatever the number of steps, on resuming as well."""

import io
import itertools

from jaxnets.train.progress import Progress


def lines_of(first_step, last_step, *, evaluates=True, steps_per_epoch=3):
    """The lines of a loop that observes every step two steps late, as `run_loop` does."""
    output = io.StringIO()
    progress = Progress(
        first_step=first_step,
        last_step=last_step,
        steps_per_epoch=steps_per_epoch,
        examples_per_step=10,
        evaluates_at=lambda step: evaluates and step % steps_per_epoch == 0,
        output=output,
        clock=itertools.count(0, 1).__next__,
    )
    progress.begin()
    late = []
    for step in range(first_step + 1, last_step + 1):
        progress.update(10)
        late.append(step)
        evaluating = evaluates and step % steps_per_epoch == 0
        while late and (len(late) > 2 or evaluating or step == last_step):
            seen = late.pop(0)
            progress.observe(seen, {"accuracy": 0.5, "loss": float(seen), "gradient_norm": 9.0})
        if evaluating:
            progress.record({"step": step, "kind": "test", "loss": 0.25, "accuracy": 0.75})
    progress.close()
    return output.getvalue().splitlines()


def test_one_line_an_epoch_with_training_test_speed_and_time_left():
    lines = lines_of(0, 6)
    assert lines[:2] == ["compiling …", "compiled in 1.0 s"]
    # Steps 1 to 3, then 4 to 6; the loss comes first.
    assert lines[2].startswith(
        "epoch 1/2  loss 2.0000  accuracy 0.5000 · test loss 0.2500  accuracy 0.7500 · "
    )
    assert "examples/s" in lines[2] and "left" in lines[2]
    assert lines[3].startswith("epoch 2/2  loss 5.0000") and "left" not in lines[3]
    assert len(lines) == 4


def test_epochs_without_an_evaluation_have_a_line_as_well():
    assert [line.split("  ")[0] for line in lines_of(0, 9, evaluates=False)[2:]] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]


def test_a_resumed_run_goes_on_in_its_epoch():
    lines = lines_of(4, 9)
    assert lines[2].startswith("epoch 2/3  loss 5.5000") and lines[3].startswith("epoch 3/3")
