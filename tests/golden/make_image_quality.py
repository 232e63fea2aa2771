"""Writes image_quality.npz: PSNR and SSIM of scikit-image.

Needs scikit-image, which the tests do not: ``python tests/golden/make_image_quality.py``. Last run
with scikit-image 0.26.0, numpy 2.4.

"imageN" and "noisyN" are uint8 (H, W, C); "valuesN" PSNR, SSIM of 7×7 windows, and SSIM of
Gaussian windows as in Wang et al. 2004.
"""

from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

arrays = {}
random = np.random.default_rng(2026)
for number, (height, width, channels, noise) in enumerate(((12, 17, 1, 8.0), (20, 15, 3, 25.0))):
    y, x = np.mgrid[:height, :width]
    smooth = 128 + 90 * np.sin(x / 3 + number) * np.cos(y / 4)
    image = smooth[..., None] + random.normal(0, 10, (height, width, channels))
    noisy = image + random.normal(0, noise, image.shape)
    image, noisy = (np.clip(np.round(a), 0, 255).astype(np.uint8) for a in (image, noisy))
    arrays[f"image{number}"], arrays[f"noisy{number}"] = image, noisy
    options = {"data_range": 255, "channel_axis": -1}
    arrays[f"values{number}"] = np.array(
        [
            peak_signal_noise_ratio(image, noisy, data_range=255),
            structural_similarity(image, noisy, **options),
            structural_similarity(
                image,
                noisy,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                **options,
            ),
        ]
    )
np.savez_compressed(Path(__file__).with_name("image_quality.npz"), **arrays)
