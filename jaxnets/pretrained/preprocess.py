"""How a published network wants its images: resize, crop, mean and standard deviation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets.data.image_file import read_image
from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import model_info

# Shorter side before the crop where it is not the usual 256 for 224: (library, network) → pixels.
_RESIZE = {
    ("torchvision", "inception_v3"): 342,
    ("torchvision", "resnext101_64x4d"): 232,
    ("torchvision", "shufflenet_v2_x1_5"): 232,
    ("torchvision", "shufflenet_v2_x2_0"): 232,
    ("deep_compression", "squeezenet1_0_paper"): 256,
    ("timm", "nasnet_a_large"): int(331 / 0.911),
    ("Cadene", "nasnet_a_large"): int(331 / 0.875),
}
# timm's other families interpolate bilinearly, as torchvision does everywhere.
_BICUBIC = ("densenet", "inception_v3", "mobilenet_v1", "mobilenet_v2", "nasnet")


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side, crop the center, normalize.

    Attributes:
        resize: the shorter side after resizing, in pixels.
        crop: side of the square that is cut out of the center.
        interpolation: of the resizing; antialiased, as Pillow does it.
        mean, std: per channel, of images in 0 … 1.
        channels: 3 for RGB, 1 for gray.

    >>> prepare = Preprocessing(256, 224, "bilinear", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    >>> x = prepare(np.full((300, 400, 3), 255, np.uint8))
    >>> x.shape, x.dtype.name, float(x.max())
    ((224, 224, 3), 'float32', 1.0)
    """

    resize: int
    crop: int
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3

    def read(self, image: Any) -> np.ndarray:
        """The resized and cropped image, uint8 (crop, crop, channels), not yet normalized.

        Args:
            image: a file, a Pillow image, or an array uint8 (H, W, C) or (H, W).

        Returns:
            uint8 (crop, crop, channels).

        Raises:
            JaxnetsError: a file that cannot be read, or an array that is not uint8.
        """
        from PIL import Image

        if isinstance(image, str | Path):
            image = read_image(image, channels=self.channels)
        if not isinstance(image, Image.Image):
            array = np.asarray(image)
            if array.dtype != np.uint8 or array.ndim not in (2, 3):
                raise JaxnetsError(
                    f"an image must be uint8 (height, width, channels), got "
                    f"{array.dtype}{list(array.shape)}"
                )
            gray = array.ndim == 3 and array.shape[-1] == 1
            image = Image.fromarray(array[..., 0] if gray else array)
        image = image.convert("RGB" if self.channels == 3 else "L")
        width, height = image.size
        short, long = min(width, height), max(width, height)
        if short != self.resize:
            # The longer side rounded down, as torchvision does.
            other = int(self.resize * long / short)
            size = (self.resize, other) if width <= height else (other, self.resize)
            image = image.resize(size, getattr(Image.Resampling, self.interpolation.upper()))
        width, height = image.size
        left, top = round((width - self.crop) / 2), round((height - self.crop) / 2)
        image = image.crop((left, top, left + self.crop, top + self.crop))
        return np.asarray(image).reshape(self.crop, self.crop, self.channels)

    def __call__(self, image: Any) -> np.ndarray:
        """The image as the network wants it, float32 (crop, crop, channels).

        Args:
            image: see `read`.

        Returns:
            (image / 255 − mean) / std.
        """
        x = self.read(image).astype(np.float32) / 255
        return (x - np.float32(self.mean)) / np.float32(self.std)


def preprocessing(name: str, source: str | None = None) -> Preprocessing:
    """How images are brought to a network that has published weights.

    Args:
        name: one of `jaxnets.models.list_models()`.
        source: whose weights: "torchvision", "timm", "Cadene" (default: the first that
            ``model_info(name).weights`` names).

    Returns:
        A `Preprocessing`.

    Raises:
        UnknownNameError: no such network, or none of this library's weights fits.
        JaxnetsError: no published normalization is known.

    Source: torchvision 0.28, ``ResNet50_Weights.IMAGENET1K_V1.transforms``; timm 1.0.31,
    ``default_cfgs``.

    >>> preprocessing("resnet50").resize, preprocessing("inception_v3").resize
    (256, 342)
    >>> preprocessing("densenet121", "timm").interpolation
    'bicubic'
    """
    info = model_info(name)
    if not info.mean:
        raise JaxnetsError(
            f"{name}: no published weights are known, so neither is the preprocessing that they "
            "want"
        )
    libraries = [weights.split(" ")[0].split("/")[0] for weights in info.weights]
    if source is not None and source not in libraries:
        raise UnknownNameError(f"source of weights for {name}", source, libraries)
    library = source or libraries[0]
    crop = info.input_size
    # CIFAR's images are neither resized nor cropped.
    usual = crop if crop < 64 else int(crop / 0.875)
    bicubic = library == "timm" and info.family in _BICUBIC
    return Preprocessing(
        resize=_RESIZE.get((library, name), usual),
        crop=crop,
        interpolation="bicubic" if bicubic else "bilinear",
        mean=info.mean,
        std=info.std,
        channels=info.channels,
    )
