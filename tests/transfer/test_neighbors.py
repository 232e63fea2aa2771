"""Nearest neighbors beside SciPy's distances."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxnets.transfer import nearest_neighbors


def test_nearest_are_scipys():
    rng = np.random.default_rng(0)
    queries, gallery = rng.standard_normal((7, 2, 3)), rng.standard_normal((40, 2, 3))
    distances = cdist(queries.reshape(7, -1), gallery.reshape(40, -1), "cosine")
    expected = np.argsort(distances, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(nearest_neighbors(queries, gallery, 5), expected)
    # The scale of an example changes nothing, and no feature at all is no NaN.
    scaled = gallery * rng.uniform(0.1, 10, (40, 1, 1))
    np.testing.assert_array_equal(nearest_neighbors(queries, scaled, 5), expected)
    assert nearest_neighbors(np.zeros((1, 6)), gallery, 1).tolist() == [[0]]


@pytest.mark.parametrize(
    ("queries", "k", "message"),
    [((2, 3), 1, "3 features and the gallery has 4"), ((2, 4), 0, "got 0"), ((2, 4), 6, "1 to 5")],
)
def test_mistakes(queries, k, message):
    with pytest.raises(ValueError, match=message):
        nearest_neighbors(np.ones(queries), np.ones((5, 4)), k)
