"""Order, resuming, sharing between processes, evaluation batches, prefetch to the devices."""

import threading

import jax
import numpy as np
import pytest

from jaxnets.data import (
    ArraySource,
    Batches,
    Split,
    eval_batches,
    load_dataset,
    prefetch_to_device,
)
from jaxnets.data.batches import DataError
from jaxnets.data.shuffle import permutation, stratified_choice


def numbered(count: int) -> Split:
    """A split whose images and labels say which example they are."""
    labels = np.arange(count, dtype=np.int32)
    return Split(labels.astype(np.uint8).reshape(-1, 1, 1, 1), labels)


def labels_of(batches: Batches, steps) -> list[int]:
    return [int(label) for step in steps for label in batches[step]["label"]]


def assert_same(left: dict, right: dict) -> None:
    assert left.keys() == right.keys()
    for key in left:
        assert left[key].dtype == right[key].dtype
        np.testing.assert_array_equal(left[key], right[key])


def test_permutation_is_golden():
    """The stored order was drawn once; platforms, NumPy versions and releases must repeat it."""
    assert permutation(10, seed=42, index=3).tolist() == [1, 6, 3, 4, 5, 9, 2, 8, 0, 7]
    assert permutation(10, seed=-1).tolist() == permutation(10, seed=2**64 - 1).tolist()


def test_permutations_are_uniform():
    """Each number is at each place equally often: χ² over places, 3000 draws of 6 numbers."""
    draws = np.stack([permutation(6, seed=1, index=i) for i in range(3000)])
    counts = np.stack([np.bincount(draws[:, place], minlength=6) for place in range(6)])
    chi2 = ((counts - 500) ** 2 / 500).sum()
    # 25 degrees of freedom: 99.99 % of true draws lie below 60; the draw is fixed, so no flakes.
    assert chi2 < 60


def test_stratified_choice_has_exact_shares():
    labels = np.repeat([0, 1, 3], [50, 30, 20])
    chosen = stratified_choice(labels, 33, seed=0, use=1)
    assert len(set(chosen.tolist())) == 33 and np.all(np.diff(chosen) > 0)
    # 16.5, 9.9, 6.6: the largest remainders, .9 and .6, are rounded up.
    assert np.bincount(labels[chosen]).tolist() == [16, 10, 0, 7]


def test_each_epoch_covers_each_example_once():
    batches = Batches(numbered(60), 12, seed=0)
    assert batches.steps_per_epoch == 5
    first, second = labels_of(batches, range(5)), labels_of(batches, range(5, 10))
    assert sorted(first) == sorted(second) == list(range(60))
    assert first != second and first != list(range(60))


def test_remainder_is_dropped_or_kept():
    batches = Batches(numbered(61), 12, seed=0)
    assert batches.steps_per_epoch == 5
    assert len(set(labels_of(batches, range(5)))) == 60
    # What is left out differs from epoch to epoch.
    left_out = {
        frozenset(range(61)) - set(labels_of(batches, range(5 * e, 5 * e + 5))) for e in range(6)
    }
    assert len(left_out) > 1
    kept = Batches(numbered(61), 12, seed=0, drop_remainder=False)
    assert kept.steps_per_epoch == 6 and len(kept[5]["label"]) == 1
    assert sorted(labels_of(kept, range(6))) == list(range(61))


def test_order_depends_on_the_seed_only():
    split = numbered(60)
    steps = range(12)
    same = labels_of(Batches(split, 12, seed=7), reversed(steps))
    assert same != labels_of(Batches(split, 12, seed=8), reversed(steps))
    fresh = [
        label for step in reversed(steps) for label in labels_of(Batches(split, 12, seed=7), [step])
    ]
    assert same == fresh


def test_batch_holds_the_chosen_examples():
    batches = Batches(load_dataset("digits").train, 32, seed=3)
    split = load_dataset("digits").train
    batch, chosen = batches[100], batches.indices(100)
    assert batch["image"].dtype == np.uint8 and batch["label"].dtype == np.int32
    assert type(batch["image"]) is np.ndarray and batch["image"].flags.writeable
    np.testing.assert_array_equal(batch["image"], split.images[chosen])
    np.testing.assert_array_equal(batch["label"], split.labels[chosen])


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_the_same_global_batch(processes):
    split = numbered(64)
    single = Batches(split, 16, seed=5)
    shares = [
        Batches(split, 16, seed=5, process_index=index, process_count=processes)
        for index in range(processes)
    ]
    for step in (0, 3, 4, 9):
        parts = [share[step] for share in shares]
        assert all(len(part["label"]) == 16 // processes for part in parts)
        together = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        assert_same(together, single[step])


@pytest.mark.parametrize("threads", [1, 3])
def test_iteration_is_random_access_and_resumes_anywhere(threads):
    batches = Batches(numbered(60), 12, seed=0)
    with batches.iterate(0, 17, threads=threads) as iterator:
        walked = list(iterator)
    assert len(walked) == 17
    for step, batch in enumerate(walked):
        assert_same(batch, batches[step])
    for start in range(17):
        with batches.iterate(start, 17, ahead=2, threads=threads) as iterator:
            for batch, expected in zip(iterator, walked[start:], strict=True):
                assert_same(batch, expected)


def test_state_counts_what_was_handed_out_not_what_was_fetched():
    batches = Batches(numbered(60), 12, seed=0)
    with batches.iterate(ahead=8) as iterator:
        for _ in range(3):
            next(iterator)
        state = iterator.get_state()
        assert state == {"next_step": 3}
        expected = [next(iterator) for _ in range(6)]
        iterator.set_state(state)
        for batch in expected:
            assert_same(next(iterator), batch)
    with batches.iterate() as other:
        other.set_state(state)
        assert_same(next(other), expected[0])


def test_iterator_ends_its_threads_and_passes_errors_on():
    batches = Batches(numbered(60), 12, seed=0)
    before = set(threading.enumerate())
    iterator = batches.iterate()
    next(iterator)
    started = set(threading.enumerate()) - before
    assert started
    iterator.close()
    with pytest.raises(StopIteration):
        next(iterator)
    for thread in started:
        thread.join(5)
        assert not thread.is_alive()
    with pytest.raises(IndexError, match="-1"):
        next(batches.iterate(-1))


def test_mistakes_are_named():
    split = numbered(10)
    with pytest.raises(DataError, match="only 10 examples"):
        Batches(split, 11, seed=0)
    with pytest.raises(DataError, match="multiple of 4"):
        Batches(split, 6, seed=0, process_count=4)
    with pytest.raises(DataError, match="at least 1"):
        Batches(split, 0, seed=0)
    with pytest.raises(DataError, match="process_index"):
        Batches(split, 4, seed=0, process_index=2, process_count=2)
    with pytest.raises(DataError, match="drop_remainder"):
        Batches(numbered(11), 4, seed=0, process_count=2, drop_remainder=False)
    with pytest.raises(DataError, match="multiple of 4"):
        eval_batches(split, 6, process_count=4)
    with pytest.raises(ValueError, match="ahead"):
        Batches(split, 5, seed=0).iterate(ahead=0)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("count", [1, 8, 19, 24])
def test_eval_batches_cover_all_in_order_with_one_shape(count, processes):
    split = numbered(count)
    shares = [
        list(eval_batches(split, 8, process_index=index, process_count=processes))
        for index in range(processes)
    ]
    steps = -(-count // 8)
    seen = []
    for parts in zip(*shares, strict=True):
        together = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        assert (
            together["image"].shape == (8, 1, 1, 1) and together["example_mask"].dtype == np.float32
        )
        mask = together["example_mask"]
        assert together["image"].shape == (8, 1, 1, 1) and mask.dtype == np.float32
        seen += together["label"][mask == 1].tolist()
    assert len(shares[0]) == steps
    assert seen == list(range(count))


def test_prefetch_keeps_order_and_stays_ahead():
    put, asked = [], []

    def source():
        for number in range(7):
            asked.append(number)
            yield number

    def place(number):
        put.append(number)
        return 10 * number

    iterator = prefetch_to_device(source(), place, size=2)
    assert next(iterator) == 0
    assert put == [0, 1, 2]  # the one in use and two ahead
    assert next(iterator) == 10
    assert put == [0, 1, 2, 3] == asked
    assert list(iterator) == [20, 30, 40, 50, 60]
    assert list(prefetch_to_device([], place)) == []
    with pytest.raises(ValueError, match="size"):
        prefetch_to_device(source(), place, size=0)


def test_prefetch_puts_on_all_devices():
    devices = np.array(jax.devices())
    mesh = jax.sharding.Mesh(devices, ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
    batches = Batches(numbered(64), 16, seed=0)
    with batches.iterate(0, 4) as iterator:
        placed = list(prefetch_to_device(iterator, lambda b: jax.device_put(b, sharding)))
    assert len(placed) == 4
    for step, batch in enumerate(placed):
        assert len(batch["label"].sharding.device_set) == len(devices)
        assert_same(jax.device_get(batch), batches[step])


def test_a_sources_own_mask_counts_in_evaluation():
    source = ArraySource({"x": np.arange(5), "example_mask": np.float32([1, 0, 1, 1, 0])})
    batches = list(eval_batches(source, 3))
    masks = np.concatenate([batch["example_mask"] for batch in batches])
    assert masks.tolist() == [1, 0, 1, 1, 0, 0]
