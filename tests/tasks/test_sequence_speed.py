"""What is timed does the work that its name says, and the turns are turns."""

import numpy as np

from jaxnets.data.text import END
from jaxnets.tasks.sequence_speed import sequence_work, time_by_turns

TRANSLATION = {"kind": "translation", "units": 8, "embedding": 6, "vocabulary": 9}
TRANSLATION |= {"batch": 4, "time": 3, "beams": 2}


def test_training_of_a_translator_trains():
    update = sequence_work({**TRANSLATION, "train": True})
    losses = [float(update()) for _ in range(200)]
    # The rate grows for a hundred updates; the first loss is that of knowing nothing, log 9.
    assert abs(losses[0] - np.log(9)) < 0.5 and losses[-1] < 0.8 * losses[0]


def test_a_search_writes_as_many_tokens_as_are_counted():
    tokens = np.asarray(sequence_work({**TRANSLATION, "train": False})())
    assert tokens.shape == (4, 3) and (tokens != END).all()


def test_blocks_and_half_precision_change_little():
    case = {"kind": "attention", "train": True, "batch": 1, "heads": 2, "time": 6, "features": 4}
    plain = sequence_work(case)()
    for other, within in (({"block_size": 2}, 1e-5), ({"dtype": "bfloat16"}, 0.1)):
        for one, two in zip(plain, sequence_work({**case, **other})(), strict=True):
            np.testing.assert_allclose(np.asarray(two, np.float32), one, atol=within)


def test_every_candidate_has_its_turn_in_every_round():
    turns = []
    found = time_by_turns(
        {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")},
        rounds=2,
        peer=lambda: turns.append("torch") or 0.5,
    )
    assert turns == ["a", "b", "torch"] * 3
    assert found["torch"].seconds == (0.5, 0.5) and len(found["a"].seconds) == 2
    assert set(time_by_turns({"a": lambda: None}, rounds=1)) == {"a"}
