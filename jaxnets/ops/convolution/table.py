"""Where one algorithm overtakes another, by backend and direction.

`python -m experiments.tune_convolution` measures this machine and writes this file anew.  Every
entry is a limit on one static fact of a convolution; `jaxnets.ops.convolution.choose` reads them in
order.  A backend that is not listed runs everything on XLA's own convolution.

least_macs: multiply-adds below which nothing is worth a choice.
depthwise_fft_taps, dense_fft_taps: window positions from which spectra win.
winograd_channels: the fewest channels, in and out, for F(4×4, 3×3).
winograd_pixels_per_channel: output pixels of the batch per channel for it: transforming the kernel
    must be small beside transforming the pictures.
strided_blocked_channels: input channels of a group up to which strided groups are put together.
few_channels: input channels up to which a 3×3 window is laid out as columns.
strided_im2col_channels: input channels from which a strided 3×3 window is.
"""

NEVER = 1_000_000

# Measured with jax 0.10.2 on two cores of an AMD EPYC (Zen 5), float32, batch 8.
TABLES: dict[str, dict[str, dict[str, float]]] = {
    "cpu": {
        "forward": {
            "least_macs": 1_000_000,
            "depthwise_fft_taps": 110,
            "dense_fft_taps": 81,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 4,
            "strided_blocked_channels": 8,
            "few_channels": 0,
            "strided_im2col_channels": NEVER,
        },
        "input_gradient": {
            "least_macs": 1_000_000,
            "depthwise_fft_taps": 110,
            "dense_fft_taps": 81,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 5,
            "strided_blocked_channels": 16,
            "few_channels": 0,
            "strided_im2col_channels": NEVER,
        },
        "kernel_gradient": {
            "least_macs": 1_000_000,
            "depthwise_fft_taps": 60,
            "dense_fft_taps": 81,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 4,
            "strided_blocked_channels": NEVER,
            "few_channels": 0,
            "strided_im2col_channels": 256,
        },
    },
}
