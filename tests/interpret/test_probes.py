"""Linear classifiers on features, the SVM beside scikit-learn's; sanity checks; visualization."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import interpret, transfer
from jaxnets.interpret import LayerProbe, TransferCurve, Transformations, Unit, Visualization
from jaxnets.interpret.visualize import fourier_scale, image_from_fourier


@pytest.mark.parametrize(("classes", "penalty"), [(2, 1.0), (10, 0.01), (10, 1.0)])
def test_svm_is_scikit_learns(classes, penalty, x64):
    from sklearn.datasets import load_digits
    from sklearn.svm import LinearSVC

    x, y = load_digits(return_X_y=True)
    x, y = x[y < classes] / 16, y[y < classes]
    x, held_out, y, labels = x[:400], x[400:], y[:400], y[400:]
    if classes == 2:
        x, held_out, y, labels = x[:200], x[200:], y[:200], y[200:]
    ours = interpret.fit_linear_svm(x, y, classes, penalty=penalty, tol=1e-6)
    theirs = LinearSVC(C=penalty, dual=False, tol=1e-9, max_iter=10_000).fit(x, y)
    assert ours.converged
    kernel = ours.kernel[:, 1:] if classes == 2 else ours.kernel
    bias = ours.bias[1:] if classes == 2 else ours.bias
    np.testing.assert_allclose(kernel, theirs.coef_.T, atol=2e-5)
    np.testing.assert_allclose(bias, theirs.intercept_, atol=2e-5)
    assert ours.accuracy(held_out, labels) == pytest.approx(
        theirs.score(held_out, labels), abs=0.005
    )


def test_svm_refuses_what_does_not_fit():
    x = jnp.ones((3, 2))
    for call, message in (
        (lambda: interpret.fit_linear_svm(x, [0, 1], 2), "got .3, 2. and .2,."),
        (lambda: interpret.fit_linear_svm(x, [0, 1, 2], 2), "labels must lie in 0 … 1"),
        (lambda: interpret.fit_linear_svm(x, [0, 1, 1], 2, penalty=0), "penalty: got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert isinstance(transfer.LinearClassifier(x.T, x[:, 0])(x), jax.Array)


def test_deeper_layers_classify_better(planted):
    model, variables, x, labels, _ = planted
    train, test = (x[:30], labels[:30]), (x[30:], labels[30:])
    found = interpret.layer_probes(model, variables, train, test, ["first", "third"], side=2)
    assert isinstance(found["first"], LayerProbe)
    assert found["first"].dimension == 2 * 2 * 8 and found["third"].dimension == 2 * 2 * 16
    assert found["third"].test >= found["first"].test and found["third"].test > 0.8
    parts = interpret.layer_features(model, variables, x[:4], ["first", "third"], batch_size=3)
    assert parts["first"].shape == (4, 32 * 32 * 8)
    state = model.apply(variables, x[:4], capture_intermediates=True)[1]["intermediates"]
    np.testing.assert_allclose(
        parts["third"], state["third"]["__call__"][0].reshape(4, -1), atol=1e-5
    )


def test_learned_features_transfer(planted):
    model, variables, x, labels, _ = planted
    fresh = jax.jit(model.init)(jax.random.key(9), x[:1])
    sources = {"learned": (model, variables, "third"), "random": (model, fresh, "third")}

    def constant(key, images, labels):
        return lambda x: np.full(len(x), labels[0])

    found = interpret.feature_transfer(
        jax.random.key(0),
        sources,
        (x[:36], labels[:36]),
        (x[36:], labels[36:]),
        [1, 8],
        repetitions=2,
        learners={"first label": constant},
    )
    assert isinstance(found["learned"], TransferCurve)
    gains = found["learned"].mean - found["random"].mean
    assert (gains >= 0).all() and gains[0] > 0
    assert found["learned"].mean[-1] > 0.9 and found["first label"].mean.tolist() == [1 / 3] * 2
    with pytest.raises(ValueError, match="numbers from 1 to 12"):
        interpret.feature_transfer(
            jax.random.key(0), sources, (x[:36], labels[:36]), (x, labels), [13]
        )


def test_explanations_depend_on_what_was_learned(planted):
    """Randomized from the last layer on: gradients and maps change; guided backpropagation less."""
    model, variables, x = planted.model, planted.variables, planted.images[:8]

    def cam(model, variables, images, target):
        return interpret.grad_cam(model, variables, images, target, layer="third", relu=False)

    methods = {
        "saliency": interpret.saliency,
        "guided": interpret.guided_backprop,
        "Grad-CAM": cam,
    }
    found = {
        name: interpret.sanity_check(jax.random.key(3), method, model, variables, x)
        for name, method in methods.items()
    }
    layers = ["head", "third", "second", "first"]
    assert all(list(similarity) == layers for similarity in found.values())
    end = {name: float(np.mean(s["first"])) for name, s in found.items()}
    assert end["saliency"] < 0.6 and end["Grad-CAM"] < 0.6
    # Its failure: with a random head, guided backpropagation's picture is what it was.
    start = {name: float(np.mean(s["head"])) for name, s in found.items()}
    assert start["guided"] > start["saliency"]


def test_rank_correlation():
    from scipy.stats import spearmanr

    a, b = np.random.default_rng(0).standard_normal((2, 3, 5, 5))
    expected = [spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(interpret.rank_correlation(a, b), expected)
    assert interpret.rank_correlation(a, np.ones_like(a)).tolist() == [0, 0, 0]


def test_optimized_images_excite_their_units(planted):
    model, variables = planted.model, planted.variables
    found = interpret.visualize_unit(
        jax.random.key(0),
        model,
        variables,
        [0, 1, 2],
        size=32,
        channels=1,
        mean=(0.5,),
        std=(0.25,),
        steps=40,
        rate=0.1,
        transformations=Transformations(shift=2, scale=0.05, rotate=3),
    )
    assert isinstance(found, Visualization) and found.images.shape == (3, 32, 32, 1)
    assert float(found.images.min()) >= 0 and float(found.images.max()) <= 1
    logits = jax.jit(model.apply)(variables, (found.images - 0.5) / 0.25)
    own = jax.jit(model.apply)(variables, planted.images)
    for c in range(3):
        assert logits[c, c] > own[:, c].mean()
    assert (found.activations[-1] > found.activations[0]).all()


def test_visualization_needs_a_channel(planted):
    for target, message in ((None, "expected a class"), (Unit("third"), "expected a class")):
        with pytest.raises(ValueError, match=message):
            interpret.visualize_unit(
                jax.random.key(0), planted.model, planted.variables, target, size=32
            )


def test_the_fourier_basis_has_the_spectrum_of_photographs():
    scale = fourier_scale((8, 8))
    assert scale[0, 0] == pytest.approx(64) and scale[0, 2] == pytest.approx(8 / 0.25)
    coefficients = np.zeros((1, 1, 8, 5, 2), np.float32)
    coefficients[0, 0, 0, 1, 0] = 1
    x = np.asarray(image_from_fourier(coefficients, (8, 8)))[0, ..., 0]
    wave = np.log(x / (1 - x))
    expected = 2 * np.cos(2 * np.pi * np.arange(8) / 8) * scale[0, 1] / 64 / 4
    np.testing.assert_allclose(wave, np.broadcast_to(expected, (8, 8)), atol=1e-5)
