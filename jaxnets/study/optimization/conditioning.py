"""The curvature of linear models before and after their inputs are preprocessed.

A linear model with a bias sees x only through M = X̃ᵀX̃/N, X̃ = [x, 1]. Least squares has the Hessian
M; logistic regression X̃ᵀ diag(p(1−p)) X̃/N, which is M/4 at w = 0. Gradient descent with the rate
1/λmax needs steps in proportion to κ = λmax/λmin. All preprocessings here are affine maps of x, so
every model has the same least loss: only the way there differs.

Source: LeCun, Bottou, Orr, Müller, "Efficient BackProp" (1998), sections 4.3 and 5.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.data import preprocessing
from jaxnets.errors import JaxnetsError
from jaxnets.study.figures import new_figure, save_figure


def _mean_image(images: np.ndarray) -> preprocessing.Standardization:
    """Subtraction of the mean image, on the scale 0 to 1."""
    fitted = preprocessing.fit_mean_image(images)
    return preprocessing.Standardization(fitted.mean, 255 * fitted.std)


# Name → (label, fit). Fitted to and applied to (N, 1, 1, D): one value a "channel".
PREPROCESSINGS: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
    "raw": ("raw pixels", preprocessing.fit_unit_range),
    "mean": ("mean image subtracted", _mean_image),
    "standardized": ("each pixel standardized", preprocessing.fit_channel_mean_std),
    "pca": ("PCA whitened", lambda x: preprocessing.fit_pca_whitening(x, epsilon=0.0)),
    "zca": ("ZCA whitened", lambda x: preprocessing.fit_zca_whitening(x, epsilon=0.0)),
}


def design_matrices(images: np.ndarray) -> dict[str, np.ndarray]:
    """X̃ = [preprocessed x, 1] for every preprocessing.

    Args:
        images: uint8, shape (N, H, W, C); pixels that never change are left out.

    Returns:
        Float64 arrays of shape (N, D + 1) by the names of `PREPROCESSINGS`.

    Raises:
        JaxnetsError: if there are too few images to whiten them.
    """
    flat = images.reshape(len(images), -1)
    varying = flat[:, flat.min(0) < flat.max(0)][:, None, None, :]
    out = {}
    with jax.enable_x64(True):
        for name, (_, fit) in PREPROCESSINGS.items():
            try:
                x = np.asarray(fit(varying).apply(varying.astype(np.float64)))
            except ValueError as error:
                raise JaxnetsError(
                    f"{len(flat)} images can't be whitened: {error}. Use more training examples"
                ) from error
            out[name] = np.concatenate([x.reshape(len(x), -1), np.ones((len(x), 1))], axis=1)
    return out


def logistic_loss(x: np.ndarray, sign: np.ndarray, w: np.ndarray) -> float:
    """Mean of log(1 + exp(−s·x̃w)) over the examples.

    Args:
        x: design matrix X̃, shape (N, D + 1).
        sign: labels s = ±1, shape (N,).
        w: weights, shape (D + 1,).

    Returns:
        A number.
    """
    return float(np.logaddexp(0, -sign * (x @ w)).mean())


def logistic_gradient(x: np.ndarray, sign: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Gradient of `logistic_loss`, shape (D + 1,).

    Args:
        x: design matrix X̃, shape (N, D + 1).
        sign: labels s = ±1, shape (N,).
        w: weights, shape (D + 1,).

    Returns:
        The gradient by w.
    """
    return -(sign * _sigmoid(-sign * (x @ w))) @ x / len(x)


def logistic_hessian(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """X̃ᵀ diag(p(1−p)) X̃ / N, shape (D + 1, D + 1): the labels do not enter.

    Args:
        x: design matrix X̃, shape (N, D + 1).
        w: weights, shape (D + 1,).

    Returns:
        The Hessian by w.
    """
    p = _sigmoid(x @ w)
    return (x * (p * (1 - p))[:, None]).T @ x / len(x)


def condition_number(hessian: np.ndarray) -> float:
    """κ = λmax / λmin.

    Args:
        hessian: symmetric and positive definite.

    Returns:
        A number of at least 1.

    >>> condition_number(np.diag([2.0, 50.0]))
    25.0
    """
    eigenvalues = np.linalg.eigvalsh(hessian)
    return float(eigenvalues[-1] / eigenvalues[0])


def descend(
    x: np.ndarray, sign: np.ndarray, rate: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent on the logistic loss from w = 0.

    Args:
        x: design matrix X̃, shape (N, D + 1).
        sign: labels s = ±1, shape (N,).
        rate: η.
        steps: updates.

    Returns:
        The losses before each step and after the last, shape (steps + 1,), and the last w.
    """
    w, losses = np.zeros(x.shape[1]), np.empty(steps + 1)
    for step in range(steps):
        margins = sign * (x @ w)
        losses[step] = np.logaddexp(0, -margins).mean()
        w += rate * ((sign * _sigmoid(-margins)) @ x / len(x))
    losses[steps] = logistic_loss(x, sign, w)
    return losses, w


def least_loss(x: np.ndarray, sign: np.ndarray, iterations: int = 50) -> tuple[float, np.ndarray]:
    """The least logistic loss and where it is, by Newton's method with step halving.

    Args:
        x: design matrix X̃, shape (N, D + 1).
        sign: labels s = ±1, shape (N,).
        iterations: at most so many.

    Returns:
        The loss, and w.
    """
    w, loss = np.zeros(x.shape[1]), np.log(2.0)
    for _ in range(iterations):
        direction = np.linalg.solve(
            logistic_hessian(x, w) + 1e-12 * np.eye(len(w)), logistic_gradient(x, sign, w)
        )
        scale = 1.0
        while (new := logistic_loss(x, sign, w - scale * direction)) > loss and scale > 1e-8:
            scale /= 2
        w, improvement, loss = w - scale * direction, loss - new, new
        if improvement < 1e-14:
            break
    return loss, w


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -z))


def draw(measured: dict[str, dict[str, Any]], tolerance: float, target: Path) -> None:
    """Save three panels: eigenvalues, condition numbers, gradient descent.

    Args:
        measured: by preprocessing: "eigenvalues", "excess" (losses above the least), and the
            condition numbers "condition_least_squares", "…_logistic_start", "…_logistic_end".
        tolerance: excess that is marked as reached.
        target: a PNG file.
    """
    figure, (left, middle, right) = new_figure(3, width=5.3, height=5)
    for name, entry in measured.items():
        label, style = PREPROCESSINGS[name][0], ":" if name == "zca" else "-"
        relative = entry["eigenvalues"] / entry["eigenvalues"][0]
        left.semilogy(np.arange(1, len(relative) + 1), relative, style, lw=2, label=label)
        steps = np.arange(1, len(entry["excess"]) + 1)
        right.loglog(steps, np.maximum(entry["excess"], 1e-12), style, lw=2, label=label)
    left.set(
        title="eigenvalues of the least-squares Hessian", xlabel="number", ylabel="λ / largest λ"
    )
    left.legend(fontsize=9)
    kinds = {
        "condition_least_squares": "least squares",
        "condition_logistic_start": "logistic, at w = 0",
        "condition_logistic_end": "logistic, after descent",
    }
    positions = np.arange(len(measured))
    for shift, (key, label) in enumerate(kinds.items()):
        values = [entry[key] for entry in measured.values()]
        middle.bar(positions + 0.27 * (shift - 1), values, 0.25, label=label, bottom=0)
    middle.set(title="condition number κ = λmax / λmin", yscale="log", ylim=(0.7, None))
    labels = [PREPROCESSINGS[name][0].replace(" ", "\n") for name in measured]
    middle.set_xticks(positions, labels, fontsize=8)
    middle.legend(fontsize=9)
    right.axhline(tolerance, color="0.6", lw=1, ls="--")
    right.set(
        title="gradient descent on logistic regression, rate 1/λmax",
        xlabel="step",
        ylabel="loss above the least",
        ylim=(1e-5, None),
    )
    save_figure(figure, target)
