"""Ragged sequences become one array, or a sentence that says which one cannot."""

import numpy as np
import pytest

from jaxnets.data import pad_sequences


def test_features_are_padded_along_time():
    x = [np.ones((2, 3), np.float32), np.full((4, 3), 2, np.float32)]
    padded, mask = pad_sequences(x, 5, pad=-1)
    assert padded.dtype == np.float32 and padded.shape == (2, 5, 3)
    assert (padded[0, 2:] == -1).all() and (padded[1, :4] == 2).all()
    assert mask.sum(1).tolist() == [2, 4]


SENTENCES = {
    "none": (lambda: pad_sequences([]), "got none"),
    "empty": (lambda: pad_sequences([[1], []]), r"sequences\[1\]: has length 0"),
    "long": (lambda: pad_sequences([[1, 2, 3]], 2), "3 steps, more than the 2 of its bucket"),
    "ragged": (lambda: pad_sequences([[[1.0], [1.0, 2.0]]]), "different shapes"),
    "features": (lambda: pad_sequences([np.ones((2, 3)), np.ones((2, 4))]), r"expected \(3,\)"),
    "scalar": (lambda: pad_sequences([3, 4]), "expected a sequence"),
    "text": (lambda: pad_sequences([["a", "b"]]), "encode text first"),
    "unknown": (lambda: pad_sequences([[1, 7]], vocabulary=5), "token 7 is unknown"),
    "negative": (lambda: pad_sequences([[-1]], vocabulary=5), "token -1 is unknown"),
}


@pytest.mark.parametrize("name", SENTENCES)
def test_bad_input_is_said_in_a_sentence(name):
    call, sentence = SENTENCES[name]
    with pytest.raises(ValueError, match=sentence):
        call()
