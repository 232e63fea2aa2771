"""Convolution, one function with many algorithms."""

from jaxnets.ops.convolution.api import conv
from jaxnets.ops.convolution.fft import circular_conv
from jaxnets.ops.convolution.transformed_kernel import (
    TransformedKernel,
    conv_transformed,
    transform_kernel,
)

__all__ = ["TransformedKernel", "circular_conv", "conv", "conv_transformed", "transform_kernel"]
