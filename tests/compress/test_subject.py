"""The network that is compressed: trained once, then read; or published."""

import jax
import numpy as np
import pytest

from jaxnets.compress import CompressionRecipe, Subject, published_subject, trained_subject
from jaxnets.errors import JaxnetsError


def test_it_is_trained_once(tmp_path):
    recipe = CompressionRecipe(batch_size=10, weight_decay=1e-4)
    options = {"recipe": recipe, "epochs": 1, "workdir": tmp_path, "train_examples": 20}
    first = trained_subject("mlp", "digits", **options)
    again = trained_subject("mlp", "digits", **options)
    assert isinstance(first, Subject) and len(first.data.train) == 20
    leaves = jax.tree.leaves(first.variables), jax.tree.leaves(again.variables)
    for one, other in zip(*leaves, strict=True):
        np.testing.assert_array_equal(one, other)


def test_published_weights_must_be_there(tmp_path):
    with pytest.raises(JaxnetsError, match=r"resnet20 was published for 3 channel"):
        published_subject("resnet20", tmp_path / "none.th", "digits")
