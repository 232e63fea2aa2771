"""Checkpoints: exact, refused when they do not fit, passed over when they are damaged."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.optim import Plateau, create_optimizer
from jaxnets.tasks import classification
from jaxnets.train import Checkpoints, create_state, restore_state, state_arrays, train_step
from jaxnets.train.arrays import tree_sha256

TASK = classification(3)
ARRAYS = {
    "params/dense/kernel": np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32),
    "opt_state/0/count": np.array(7, np.int32),
    "half": np.asarray(jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)),
    "key": np.array([1, 2], np.uint32),
}
META = {"step": 3, "config": {"learning_rate": 0.1, "model": "mlp", "names": ["a", "ü"]}}


def make_state(hidden=(8,), classes=3, tx=None):
    model = create_model("mlp", num_classes=classes, hidden=hidden)
    example = {"image": np.zeros((1, 4, 4, 1)), "label": np.zeros(1, int)}
    return create_state(model, tx or optax.adam(1e-2), example, jax.random.key(1), task=TASK)


def on_host(tree):
    return jax.tree.map(np.asarray, tree)


def test_round_trip_is_bit_exact(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(3, ARRAYS, META)
    checkpoints.close()
    found = Checkpoints(tmp_path / "c").restore()
    assert found.step == 3 and found.meta == META
    assert found.arrays.keys() == ARRAYS.keys()
    for path, array in ARRAYS.items():
        assert found.arrays[path].dtype == array.dtype
        assert found.arrays[path].tobytes() == array.tobytes()


def test_state_round_trip_and_next_step(tmp_path):
    batch = {
        "image": np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype(np.float32),
        "label": np.arange(6, dtype=np.int32) % 3,
    }
    state, _ = train_step(make_state(), batch, task=TASK)
    with_files = Checkpoints(tmp_path / "c")
    with_files.save(1, state_arrays(state, on_host), {})
    restored = restore_state(make_state(), with_files.restore().arrays)
    with_files.close()
    after, _ = train_step(state, batch, task=TASK)
    again, _ = train_step(restored, batch, task=TASK)
    first, second = (tree_sha256(state_arrays(s, on_host)) for s in (after, again))
    assert first == second
    assert first != tree_sha256(state_arrays(state, on_host))


def test_keeps_the_newest_and_skips_known_steps(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", keep=2)
    for step in (1, 2, 3):
        checkpoints.save(step, {"step": np.array(step)}, {})
    checkpoints.save(3, {"step": np.array(99)}, {})
    checkpoints.wait()
    assert checkpoints.steps() == [2, 3]
    assert checkpoints.restore().arrays["step"] == 3
    assert checkpoints.restore(2).arrays["step"] == 2
    with pytest.raises(JaxnetsError, match=r"no checkpoint of step 1 .*there are 2, 3"):
        checkpoints.restore(1)
    checkpoints.close()


def test_nothing_there(tmp_path):
    assert Checkpoints(tmp_path / "none").restore() is None
    assert Checkpoints(tmp_path / "none").steps() == []


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    directory = tmp_path_factory.mktemp("two") / "c"
    checkpoints = Checkpoints(directory)
    checkpoints.save(1, ARRAYS, META)
    checkpoints.save(2, {**ARRAYS, "opt_state/0/count": np.array(8, np.int32)}, META)
    checkpoints.close()
    return directory


def damaged_copy(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "copy"))


def data_files(step: Path) -> list[Path]:
    """Every file that carries contents, by its path inside the checkpoint."""
    return sorted(p for p in step.rglob("*") if p.is_file() and p.stat().st_size > 0)


def restore_with_notes(directory: Path):
    notes = []
    checkpoints = Checkpoints(directory, notify=notes.append)
    try:
        return checkpoints.restore(), notes
    finally:
        checkpoints.close()


def expect_whole(found):
    """Whatever was restored is bit-identical to one of the two saves."""
    expected = {1: 7, 2: 8}[found.step]
    assert found.arrays["opt_state/0/count"] == expected
    for path in ("params/dense/kernel", "half", "key"):
        assert found.arrays[path].tobytes() == ARRAYS[path].tobytes()
    assert found.meta == META


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_any_damaged_file_never_gives_wrong_values(two_steps, tmp_path, damage):
    """Every file of the newest step in turn: the result is whole, or the step before it."""
    fell_back = 0
    for relative in [p.relative_to(two_steps) for p in data_files(two_steps / "2")]:
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        copy = damaged_copy(two_steps, tmp_path)
        content = bytearray((copy / relative).read_bytes())
        if damage == "truncate":
            (copy / relative).write_bytes(content[: len(content) // 2])
        elif damage == "flip":
            for position in range(0, len(content), max(1, len(content) // 8)):
                content[position] ^= 0x10
            (copy / relative).write_bytes(content)
        else:
            (copy / relative).unlink()
        found, notes = restore_with_notes(copy)
        expect_whole(found)
        if found.step == 1:
            fell_back += 1
            assert len(notes) == 1 and "step 2 is passed over" in notes[0]
        else:
            assert notes == []
    assert fell_back >= 3


def test_overwritten_numbers_are_noticed(two_steps, tmp_path):
    """The case that Orbax alone lets pass: other bytes of the right length."""
    import orbax.checkpoint as ocp

    copy = damaged_copy(two_steps, tmp_path)
    other = {"params": {"dense": {"kernel": ARRAYS["params/dense/kernel"] + 1}}}
    other |= {"opt_state": {"0": {"count": np.array(8, np.int32)}}}
    other |= {"half": ARRAYS["half"], "key": ARRAYS["key"]}
    shutil.rmtree(copy / "2" / "state")
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(copy / "2" / "state", other)
    found, notes = restore_with_notes(copy)
    assert found.step == 1
    assert "params/dense/kernel does not match its checksum" in notes[0]


def test_half_written_step_is_ignored(two_steps, tmp_path):
    copy = damaged_copy(two_steps, tmp_path)
    (copy / "2").rename(copy / "3.orbax-checkpoint-tmp")
    found, notes = restore_with_notes(copy)
    assert found.step == 1 and notes == []


def test_all_damaged(two_steps, tmp_path):
    copy = damaged_copy(two_steps, tmp_path)
    for step in ("1", "2"):
        (copy / step / "meta" / "metadata").write_text("{")
    notes = []
    checkpoints = Checkpoints(copy, notify=notes.append)
    with pytest.raises(JaxnetsError, match=r"none of the checkpoints .* is whole \(steps 1, 2\)"):
        checkpoints.restore()
    assert len(notes) == 2
    checkpoints.close()


def test_non_finite_values_are_never_saved(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, {"w": np.ones(2, np.float32)}, {})
    checkpoints.wait()
    for bad in (np.array([1, np.nan], np.float32), np.asarray(jnp.array([jnp.inf], jnp.bfloat16))):
        with pytest.raises(
            JaxnetsError, match=r"step 2 is not saved: w .* checkpoint is of step 1"
        ):
            checkpoints.save(2, {"w": bad}, {})
    assert checkpoints.steps() == [1]
    checkpoints.close()


def test_what_may_be_infinite_is_known_by_its_role(tmp_path):
    """A plateau's best value before any is known; a momentum that overflowed is no such thing."""
    rule = create_optimizer("momentum", Plateau(0.1))
    state = state_arrays(make_state(tx=rule), on_host)
    infinite = [path for path, array in state.items() if np.isinf(array).any()]
    assert len(infinite) == 1 and infinite[0].endswith("/best")
    checkpoints = Checkpoints(tmp_path / "c")
    checkpoints.save(1, state, {})
    checkpoints.wait()
    for path, value in ((infinite[0], np.nan), ("opt_state/0/trace/slope", np.inf)):
        with pytest.raises(JaxnetsError, match=f"step 2 is not saved: {path}"):
            checkpoints.save(2, {**state, path: np.float32(value)}, {})
    assert checkpoints.steps() == [1]
    checkpoints.close()


@pytest.mark.parametrize(
    ("other", "names"),
    [
        ({"classes": 4}, "float32[8, 3], expected float32[8, 4]"),
        ({"hidden": (8, 8)}, "missing in the checkpoint"),
        ({"tx": optax.sgd(0.1)}, "not in this network"),
    ],
)
def test_checkpoint_of_another_network(other, names):
    arrays = state_arrays(make_state(), on_host)
    with pytest.raises(JaxnetsError, match="another network, optimizer") as error:
        restore_state(make_state(**other), arrays)
    assert names in str(error.value)


def test_unwritable_place(tmp_path):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    with pytest.raises(JaxnetsError, match="cannot save a checkpoint"):
        Checkpoints(blocker / "c").save(1, {"w": np.ones(1)}, {})


def test_sha256_depends_on_every_bit():
    base = tree_sha256(ARRAYS)
    assert base == tree_sha256(dict(reversed(ARRAYS.items())))
    for path in ARRAYS:
        content = bytearray(ARRAYS[path].tobytes())
        content[0] ^= 1
        changed = np.frombuffer(content, ARRAYS[path].dtype).reshape(ARRAYS[path].shape)
        assert tree_sha256({**ARRAYS, path: changed}) != base
    as_other_shape = {**ARRAYS, "key": ARRAYS["key"][None]}
    assert tree_sha256(as_other_shape) != base
