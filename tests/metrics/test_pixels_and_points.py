"""Segmentation against scikit-learn, image quality against scikit-image, keypoints by hand."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from jaxnets import metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "image_quality.npz"


def test_mean_iou_is_of_one_global_matrix():
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, (4, 9, 9))  # 5 is void
    predictions = np.where(random.uniform(size=labels.shape) < 0.6, labels % 5, 0)
    batches = [
        np.asarray(metrics.confusion_matrix(jnp.asarray(p), jnp.asarray(t), 5))
        for p, t in zip(predictions, labels, strict=True)
    ]
    total = sum(b.astype(np.int64) for b in batches)
    seen = labels != 5
    np.testing.assert_array_equal(
        total, confusion_matrix(labels[seen], predictions[seen], labels=range(5))
    )
    expected = jaccard_score(labels[seen], predictions[seen], average=None, labels=range(5))
    np.testing.assert_allclose(metrics.iou_of_classes(total), expected, atol=1e-12)
    summary = metrics.segmentation_summary(total)
    assert summary["mIoU"] == pytest.approx(expected.mean(), abs=1e-12)
    assert summary["pixel_accuracy"] == pytest.approx((labels == predictions)[seen].mean())
    shares = np.bincount(labels[seen], minlength=5) / seen.sum()
    assert summary["weighted_IoU"] == pytest.approx((shares * expected).sum(), abs=1e-12)
    # The mean of the images' own IoUs is another number.
    assert (
        abs(np.mean([metrics.segmentation_summary(b)["mIoU"] for b in batches]) - summary["mIoU"])
        > 1e-4
    )


def test_absent_classes_do_not_count():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert np.isnan(metrics.iou_of_classes(matrix)[2])
    summary = metrics.segmentation_summary(matrix)
    assert summary["mIoU"] == pytest.approx(0.375) and summary["mean_accuracy"] == 0.75
    assert np.isnan(metrics.segmentation_summary(np.zeros((2, 2)))["mIoU"])
    with pytest.raises(ValueError, match=r"matrix: got shape \(2, 3\); expected \(K, K\)"):
        metrics.iou_of_classes(np.zeros((2, 3)))


@pytest.mark.parametrize("number", [0, 1])
def test_psnr_and_ssim_are_scikit_images(number, x64):
    with np.load(GOLDEN) as stored:
        image, noisy = stored[f"image{number}"], stored[f"noisy{number}"]
        expected = stored[f"values{number}"]
    found = [
        metrics.psnr(image, noisy, data_range=255),
        metrics.ssim(image, noisy, data_range=255, window="uniform"),
        metrics.ssim(image, noisy, data_range=255),
    ]
    single = [float(v) for v in found]
    np.testing.assert_allclose(single, expected, rtol=2e-6)  # bytes are computed in float32
    wide = [image.astype(np.float64), noisy.astype(np.float64)]
    double = [
        float(metrics.psnr(*wide, data_range=255)),
        float(metrics.ssim(*wide, data_range=255, window="uniform")),
        float(metrics.ssim(*wide, data_range=255)),
    ]
    np.testing.assert_allclose(double, expected, rtol=1e-10)


def test_quality_of_equal_images_and_bad_arguments():
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3)), jnp.uint8)
    assert np.isinf(metrics.psnr(x, x, data_range=255))
    assert float(metrics.ssim(x, x, data_range=255)) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="expected at least 11 pixels each way"):
        metrics.ssim(x[:9], x[:9], data_range=255)
    with pytest.raises(ValueError, match="data_range: got 0; expected a positive number"):
        metrics.psnr(x, x, data_range=0)
    with pytest.raises(ValueError, match="window: got 'box'; expected gaussian or uniform"):
        metrics.ssim(x, x, data_range=255, window="box")


def test_keypoints_are_right_within_a_share_of_the_torso():
    truth = np.zeros((3, 3, 3), np.float32)
    truth[..., 2] = 1
    truth[0, 1, :2] = 10, 0  # a torso of 10 pixels: 2 are near enough
    truth[1, 1, :2] = 0, 20
    truth[1, 2, 2] = 0  # not visible
    truth[2, 1, 2] = 0  # no torso: the body does not count
    size = metrics.torso_size(jnp.asarray(truth), 0, 1)
    assert size.tolist() == [10.0, 20.0, 0.0]
    predicted = truth[..., :2].copy()
    predicted[0, 0] += (1.5, 1.0)  # 1.80
    predicted[0, 2] += (1.5, 1.5)  # 2.12
    predicted[1, 0] += (4.0, 0.0)  # on the border
    right, counted = metrics.keypoint_hits(jnp.asarray(predicted), jnp.asarray(truth), size)
    assert right.tolist() == [[True, True, False], [True, True, False], [False] * 3]
    assert counted.tolist() == [[True] * 3, [True, True, False], [False] * 3]
    assert float(metrics.pck(jnp.asarray(predicted), jnp.asarray(truth), size)) == pytest.approx(
        0.8
    )
    assert float(metrics.pck(jnp.zeros((0, 3, 2)), jnp.zeros((0, 3, 3)), jnp.zeros(0))) == 0
    with pytest.raises(ValueError, match=r"size: got shape \(2,\); expected \(3,\)"):
        metrics.pck(jnp.asarray(predicted), jnp.asarray(truth), size[:2])
    with pytest.raises(ValueError, match="second: got 3; expected a joint from 0 to 2"):
        metrics.torso_size(jnp.asarray(truth), 0, 3)
