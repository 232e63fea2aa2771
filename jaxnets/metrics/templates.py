"""Geometry of a classifier's features: the plane through three class templates, and tightness.

Müller, Kornblith & Hinton (2019) used it to show that label smoothing draws each class into a tight
cluster at equal distances from the templates of the other classes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class TemplatePlane(NamedTuple):
    """A plane through three class templates.

    Attributes:
        origin: (D,), the mean of the three templates.
        basis: (2, D), orthonormal rows.
        corners: (3, 2), coordinates of the templates in the plane.

    >>> template_plane(jnp.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])).origin.tolist()
    [1.0, 1.0]
    """

    origin: jax.Array
    basis: jax.Array
    corners: jax.Array

    def project(self, features: jax.Array) -> jax.Array:
        """Coordinates of features (…, D) in the plane: (x − origin) · basisᵀ, (…, 2)."""
        return (features - self.origin) @ self.basis.T


def template_plane(templates: jax.Array) -> TemplatePlane:
    """The plane through the templates of three classes, with an orthonormal basis (Householder QR).

    The template of class k is w_k, column k of the last layer's kernel: its logit x·w_k + b_k is,
    up to what all classes share, −‖x − w_k‖²/2.

    Args:
        templates: (3, D), D ≥ 2, ``kernel[:, [a, b, c]].T`` of the last layer.

    Returns:
        the plane; its first axis points from the first to the second template.

    Raises:
        ValueError: other shapes, or three templates on one line.

    Source: Müller et al. 2019 (When Does Label Smoothing Help?), §2.

    >>> import jax.numpy as jnp
    >>> plane = template_plane(jnp.array([[0.0, 0.0, 1.0], [2.0, 0.0, 1.0], [0.0, 3.0, 1.0]]))
    >>> plane.project(jnp.array([2.0, 3.0, 7.0]) + plane.origin).tolist()
    [2.0, 3.0]
    """
    if templates.ndim != 2 or templates.shape[0] != 3 or templates.shape[1] < 2:
        raise ValueError(f"templates: got shape {templates.shape}; expected (3, D) with D ≥ 2")
    t = np.asarray(templates, np.float64)
    q, r = np.linalg.qr((t[1:] - t[:1]).T)
    lengths = np.linalg.norm(t[1:] - t[:1], axis=1)
    if not abs(r[1, 1]) > 1e-6 * lengths.max() or not lengths.min() > 0:
        raise ValueError(
            "templates: the three lie on one line (or two are the same); expected a triangle"
        )
    basis = (q * np.sign(np.diag(r))).T
    origin = t.mean(0)
    corners = (t - origin) @ basis.T
    dtype = jnp.float64 if templates.dtype == jnp.float64 else jnp.float32
    return TemplatePlane(*(jnp.asarray(a, dtype) for a in (origin, basis, corners)))


def within_between_ratio(features: jax.Array, labels: jax.Array) -> jax.Array:
    """Spread within classes relative to the spread between them: tr(S_within) / tr(S_between).

    S_within is the variance about the class's mean, S_between that of the class means about the
    mean of all; both are weighted by examples, so they sum to the total variance. 0: each class is
    a point.

    Args:
        features: (N, D).
        labels: class numbers (N,), any integers of at least 0; a negative one makes the result
            NaN.

    Returns:
        a float32 scalar.

    Raises:
        ValueError: shapes that do not fit.

    Source: Fukunaga 1990 (Introduction to Statistical Pattern Recognition), §10.2.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([[0.0], [2.0], [10.0], [12.0]])
    >>> float(within_between_ratio(x, jnp.array([0, 0, 1, 1])))  # 1 / 25
    0.03999999910593033
    """
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(
            f"labels: got shape {list(labels.shape)} for features of shape "
            f"{list(features.shape)}; expected (N,) and (N, D)"
        )
    x = features.astype(jnp.float32)
    x = x - x.mean(0, keepdims=True)
    n = x.shape[0]
    known = (labels >= 0).all()
    # Numbers without gaps, however large they are: at most n of them.
    labels = jnp.unique(labels, return_inverse=True, size=n)[1].reshape(-1)
    counts = jax.ops.segment_sum(jnp.ones(n, jnp.float32), labels, n)
    sums = jax.ops.segment_sum(x, labels, n)
    between = (jnp.sum(sums * sums, axis=1) / jnp.maximum(counts, 1.0)).sum()
    within = jnp.sum((x - (sums / jnp.maximum(counts, 1.0)[:, None])[labels]) ** 2)
    return jnp.where(known, within / between, jnp.nan)
