"""Why inputs are normalized: the curvature of the loss before and after.

Command:  python -m experiments.conditioning
Time:     5 s on two CPU cores.
Result:   runs/conditioning/: conditioning.png (eigenvalues of the Hessian, condition numbers,
          gradient descent) and summary.json. On digits the condition number falls from 5.8 million
          to 148 when every pixel is standardized and to 1 under PCA and ZCA whitening; gradient
          descent on logistic regression needs 1,661, 66 and 6 steps.

A linear model with a bias sees x only through M = X̃ᵀX̃/N, X̃ = [x, 1]. Least squares has the Hessian
M; logistic regression X̃ᵀ diag(p(1−p)) X̃/N, which is M/4 at w = 0. Gradient descent with the rate
1/λmax needs steps in proportion to κ = λmax/λmin. All preprocessings here are affine maps of x, so
every model has the same least loss: only the way there differs.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import command
from jaxnets.data import load_dataset, preprocessing
from jaxnets.errors import JaxnetsError
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to measure.

    Attributes:
        dataset: whose training images; pixels that never change are left out.
        train_examples: use this many of them (default: all).
        data_dir: where prepared TFDS datasets lie (default: $TFDS_DATA_DIR).
        steps: of gradient descent.
        tolerance: gradient descent is counted as there when the loss is this near the least.
        workdir: where the results go.
    """

    dataset: str = "digits"
    train_examples: int | None = None
    data_dir: Path | None = None
    steps: int = 20_000
    tolerance: float = 0.02
    workdir: Path = Path("runs/conditioning")


def smoke() -> Config:
    """Few examples and steps."""
    return Config(train_examples=400, steps=50, workdir=Path("runs/smoke/conditioning"))


# Fitted to and applied to (N, 1, 1, D): one value a "channel".
PREPROCESSINGS: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
    "raw": ("raw pixels", preprocessing.fit_unit_range),
    "mean": ("mean image subtracted", lambda x: _after_unit(preprocessing.fit_mean_image(x))),
    "standardized": ("each pixel standardized", preprocessing.fit_channel_mean_std),
    "pca": ("PCA whitened", lambda x: preprocessing.fit_pca_whitening(x, epsilon=0.0)),
    "zca": ("ZCA whitened", lambda x: preprocessing.fit_zca_whitening(x, epsilon=0.0)),
}


def _after_unit(fitted: preprocessing.Standardization) -> preprocessing.Standardization:
    """The same subtraction, on the scale 0 to 1."""
    return preprocessing.Standardization(fitted.mean, 255 * fitted.std)


def designs(images: np.ndarray) -> dict[str, np.ndarray]:
    """X̃ = [preprocessed x, 1], float64 (N, D + 1), for every preprocessing."""
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
    """Mean of log(1 + exp(−s·x̃w)), labels s = ±1."""
    return float(np.logaddexp(0, -sign * (x @ w)).mean())


def logistic_gradient(x: np.ndarray, sign: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Gradient of ``logistic_loss``."""
    return -(sign * _sigmoid(-sign * (x @ w))) @ x / len(x)


def logistic_hessian(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """X̃ᵀ diag(p(1−p)) X̃ / N: the labels do not enter."""
    p = _sigmoid(x @ w)
    return (x * (p * (1 - p))[:, None]).T @ x / len(x)


def condition_number(hessian: np.ndarray) -> float:
    """λmax / λmin."""
    eigenvalues = np.linalg.eigvalsh(hessian)
    return float(eigenvalues[-1] / eigenvalues[0])


def descend(
    x: np.ndarray, sign: np.ndarray, rate: float, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient descent on the logistic loss from w = 0: (losses before each step, last w)."""
    w, losses = np.zeros(x.shape[1]), np.empty(steps + 1)
    for step in range(steps):
        margins = sign * (x @ w)
        losses[step] = np.logaddexp(0, -margins).mean()
        w += rate * ((sign * _sigmoid(-margins)) @ x / len(x))
    losses[steps] = logistic_loss(x, sign, w)
    return losses, w


def least_loss(x: np.ndarray, sign: np.ndarray, iterations: int = 50) -> tuple[float, np.ndarray]:
    """The least logistic loss and where it is, by Newton's method with step halving."""
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


def measure(config: Config) -> dict[str, dict[str, Any]]:
    """All numbers and curves, by preprocessing."""
    from tqdm import tqdm

    data = load_dataset(
        config.dataset, data_dir=config.data_dir, train_examples=config.train_examples
    )
    sign = np.where(data.train.labels < len(data.class_names) / 2, 1.0, -1.0)
    by_name = designs(np.asarray(data.train.images))
    least, _ = least_loss(by_name["pca"], sign)
    out = {}
    for name, x in tqdm(by_name.items(), disable=None, desc="gradient descent"):
        hessian = x.T @ x / len(x)
        eigenvalues = np.linalg.eigvalsh(hessian)[::-1]
        # M/4 bounds every logistic Hessian, so this rate never diverges.
        losses, w = descend(x, sign, 4 / eigenvalues[0], config.steps)
        there = np.flatnonzero(losses <= least + config.tolerance)
        # At w = 0 an example's gradient is ±x̃/2: its size by coordinate is x̃'s root mean square.
        sizes = np.sqrt(np.diag(hessian))
        out[name] = {
            "eigenvalues": eigenvalues,
            "excess": losses - least,
            "condition_least_squares": float(eigenvalues[0] / eigenvalues[-1]),
            "condition_logistic_start": condition_number(logistic_hessian(x, 0 * w)),
            "condition_logistic_end": condition_number(logistic_hessian(x, w)),
            "gradient_spread": float(sizes.max() / sizes.min()),
            "steps_to_tolerance": int(there[0]) if len(there) else None,
            "least_loss": least,
            "last_loss": float(losses[-1]),
        }
    return out


def main(config: Config) -> dict[str, Any]:
    """Measure, draw, and return the numbers that the picture shows."""
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()}
    write_json(config.workdir / "config.json", settings)
    measured = measure(config)
    _save_figure(measured, config, config.workdir / "conditioning.png")
    summary = {
        name: {key: value for key, value in entry.items() if not isinstance(value, np.ndarray)}
        for name, entry in measured.items()
    }
    write_json(config.workdir / "summary.json", summary)
    print(_report(summary, config))
    return summary


def _save_figure(measured: dict[str, dict[str, Any]], config: Config, target: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(16, 5), layout="constrained")
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
    places = np.arange(len(measured))
    for shift, (key, label) in enumerate(kinds.items()):
        values = [entry[key] for entry in measured.values()]
        middle.bar(places + 0.27 * (shift - 1), values, 0.25, label=label, bottom=0)
    middle.set(title="condition number κ = λmax / λmin", yscale="log", ylim=(0.7, None))
    labels = [PREPROCESSINGS[name][0].replace(" ", "\n") for name in measured]
    middle.set_xticks(places, labels, fontsize=8)
    middle.legend(fontsize=9)
    right.axhline(config.tolerance, color="0.6", lw=1, ls="--")
    right.set(
        title="gradient descent on logistic regression, rate 1/λmax",
        xlabel="step",
        ylabel="loss above the least",
        ylim=(1e-5, None),
    )
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _report(summary: dict[str, dict[str, Any]], config: Config) -> str:
    lines = [
        f"{config.dataset}: condition numbers; spread of gradient sizes over coordinates; steps of "
        f"gradient descent until within {config.tolerance} of the least loss",
        " " * 28 + "  least squares  logistic start         end   spread   steps",
    ]
    for name, entry in summary.items():
        steps = entry["steps_to_tolerance"]
        lines.append(
            f"  {PREPROCESSINGS[name][0]:<26}{entry['condition_least_squares']:>15.6g}"
            f"{entry['condition_logistic_start']:>16.6g}{entry['condition_logistic_end']:>12.4g}"
            f"{entry['gradient_spread']:>9.3g}"
            f"{f'>{config.steps}' if steps is None else steps:>8}"
        )
    lines.append(f"{config.workdir}: conditioning.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
