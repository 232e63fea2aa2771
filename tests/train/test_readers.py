"""Who reads a run changes nothing: not the save in progress, not the run, not its files."""

import logging

import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.train import Checkpoints

ARRAYS = {"params/w": np.ones(3, np.float32)}


@pytest.fixture
def saved(tmp_path):
    """A run's checkpoints with a save in progress, as another process sees them."""
    checkpoints = Checkpoints(tmp_path / "c", run="mine")
    checkpoints.save(3, ARRAYS, {"note": "whole"})
    checkpoints.close()
    (tmp_path / "c" / "4.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    return tmp_path / "c"


def contents(directory):
    return {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in directory.rglob("*")}


def test_a_save_in_progress_is_left_alone(saved):
    before = contents(saved)
    reader = Checkpoints(saved)
    assert reader.restore().meta == {"note": "whole"}
    assert reader.restore(3).step == 3
    assert reader.newest_whole() == 3
    reader.close()
    assert contents(saved) == before


def test_reading_makes_no_directory(tmp_path):
    reader = Checkpoints(tmp_path / "none" / "c")
    assert reader.restore() is None and reader.steps() == []
    reader.close()
    assert list(tmp_path.iterdir()) == []


def test_the_run_itself_clears_up_what_a_killed_save_left(saved):
    checkpoints = Checkpoints(saved, run="mine")
    checkpoints.save(5, ARRAYS, {})
    checkpoints.close()
    assert sorted(p.name for p in saved.iterdir() if "tmp" in p.name) == []
    assert checkpoints.steps() == [3, 5]


def test_other_names_are_no_steps(saved):
    for name in ("²", "٣", "007", "-5", "abc"):
        (saved / name).mkdir()
    (saved / "8").write_text("a file")
    assert Checkpoints(saved).steps() == [3]
    assert Checkpoints(saved).restore().step == 3


def test_a_save_below_a_later_number_is_not_silently_left_out(saved):
    (saved / ("9" * 25)).mkdir()
    writer = Checkpoints(saved, run="mine", notify=lambda note: None)
    with pytest.raises(
        JaxnetsError, match=r"step 5 is not saved: .* holds a later step; .* step 3"
    ):
        writer.save(5, ARRAYS, {})
    # A run that goes on from step 3 clears it away, as a damaged step.
    assert writer.restore().step == 3
    writer.remove_after(3)
    writer.save(5, ARRAYS, {})
    writer.close()
    assert writer.steps() == [3, 5]


def test_a_step_that_was_renamed_or_copied_from_another_run(saved):
    (saved / "3").rename(saved / "30")
    notes = []
    with pytest.raises(JaxnetsError, match="none of the checkpoints"):
        Checkpoints(saved, notify=notes.append).restore()
    assert "step 30 is passed over: it was saved as step 3" in notes[0]
    (saved / "30").rename(saved / "3")
    with pytest.raises(JaxnetsError, match="none of the checkpoints"):
        Checkpoints(saved, run="other", notify=notes.append).restore()
    assert "it was saved by another run" in notes[1]


def test_a_newest_step_that_vanishes_while_it_is_read(saved, monkeypatch):
    """A run that keeps one checkpoint deletes it when the next one is there."""
    import shutil

    writer = Checkpoints(saved, run="mine")
    writer.save(5, {"params/w": np.zeros(3, np.float32)}, {})
    writer.close()
    reader, read = Checkpoints(saved), Checkpoints._read

    def slow_read(self, step):
        if step == 5:
            shutil.rmtree(saved / "5")
        return read(self, step)

    monkeypatch.setattr(Checkpoints, "_read", slow_read)
    notes = []
    reader._notify = notes.append
    assert reader.restore().step == 3 and notes == []


def test_a_refused_save_names_the_newest_whole_step(saved):
    checkpoints = Checkpoints(saved, run="mine")
    checkpoints.save(5, ARRAYS, {})
    checkpoints.wait()
    for file in (saved / "5").rglob("*"):
        if file.is_file() and "manifest" in file.parts:
            file.write_bytes(b"{}")
    with pytest.raises(JaxnetsError, match=r"not saved.*; the last good checkpoint is of step 3$"):
        checkpoints.save(6, {"params/w": np.float32([np.nan])}, {})
    checkpoints.close()


def test_what_tensorstore_reports_at_exit_is_not_shown(saved, caplog):
    Checkpoints(saved).restore()
    for words in ('Error opening "zarr" driver [tensorstore_spec=…]', "another error"):
        error = ValueError(words)
        logging.getLogger("asyncio").error("never retrieved", exc_info=error)
    assert [str(record.exc_info[1]) for record in caplog.records] == ["another error"]
