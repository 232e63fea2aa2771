"""Where one algorithm overtakes another, by backend and direction.

`python -m experiments.convolution.tune_convolution` measures this machine and writes this file
anew.  Every entry is a limit on one static fact of a convolution; `jaxnets.ops.convolution.choose`
reads them in order.  A backend that is not listed runs everything on XLA's own convolution.

least_macs: multiply-adds below which nothing is worth a choice.
depthwise_fft_taps, dense_fft_taps: window positions from which spectra win.
winograd_channels: the fewest channels, in and out, for F(4×4, 3×3).
winograd_pixels_per_channel: output pixels of the batch per channel for it: transforming the kernel
    must be cheap compared to transforming the images.
strided_blocked_channels: input channels of a group up to which strided groups are merged.
few_channels: input channels up to which a 3×3 window is laid out as columns.
first_layer_channels: the same for larger and for strided windows, as in first layers.
columns_outputs_per_input: output channels for each input channel from which windows above 3×3 of
    stride 1 are, among those.
strided_im2col_channels: input channels from which a strided 3×3 window is.

Where oneDNN may be called, `ONEDNN` counts instead, by the processor's instruction set and by
precision. oneDNN runs everything but

depthwise_shift_taps: depthwise windows up to so many positions, which "shift" runs.
blocked_channels: groups of up to so many input channels, which are merged ("blocked", or
    "blocked-winograd" where it applies).

and what `depthwise_fft_taps`, `dense_fft_taps` and the limits of Winograd's algorithm say, which
mean the same in both.
"""

NEVER = 1_000_000

# Where the limits of a backend, or of an instruction set, were measured.
MEASURED: dict[str, str] = {
    "cpu": "jax 0.10.2, AMD EPYC (Zen 5)",
    "amx": "jax 0.10.2, Intel Xeon with AMX",
    "avx512_bf16": "jax 0.10.2, AMD EPYC (Zen 5)",
}

TABLES: dict[str, dict[str, dict[str, float]]] = {
    "cpu": {
        "forward": {
            "least_macs": 1000000,
            "depthwise_fft_taps": 225,
            "dense_fft_taps": 81,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 6.125,
            "strided_blocked_channels": 8,
            "few_channels": 0,
            "first_layer_channels": 0,
            "columns_outputs_per_input": 1000000,
            "strided_im2col_channels": 1000000,
        },
        "input_gradient": {
            "least_macs": 1000000,
            "depthwise_fft_taps": 225,
            "dense_fft_taps": 49,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 6.125,
            "strided_blocked_channels": 16,
            "few_channels": 8,
            "first_layer_channels": 3,
            "columns_outputs_per_input": 21.333333333333332,
            "strided_im2col_channels": 1000000,
        },
        "kernel_gradient": {
            "least_macs": 1000000,
            "depthwise_fft_taps": 121,
            "dense_fft_taps": 49,
            "winograd_channels": 32,
            "winograd_pixels_per_channel": 1.53125,
            "strided_blocked_channels": 32,
            "few_channels": 16,
            "first_layer_channels": 16,
            "columns_outputs_per_input": 21.333333333333332,
            "strided_im2col_channels": 64,
        },
    },
}

ONEDNN: dict[str, dict[str, dict[str, dict[str, float]]]] = {
    "amx": {
        "float32": {
            "forward": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 225,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 121,
                "winograd_channels": 256,
                "winograd_pixels_per_channel": 12.25,
            },
            "input_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 225,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 121,
                "winograd_channels": 256,
                "winograd_pixels_per_channel": 12.25,
            },
            "kernel_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 121,
                "depthwise_shift_taps": 9,
                "blocked_channels": 0,
                "dense_fft_taps": 121,
                "winograd_channels": 32,
                "winograd_pixels_per_channel": 6.125,
            },
        },
        "bfloat16": {
            "forward": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 1000000,
                "winograd_channels": 1000000,
                "winograd_pixels_per_channel": 1000000,
            },
            "input_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 1000000,
                "winograd_channels": 1000000,
                "winograd_pixels_per_channel": 1000000,
            },
            "kernel_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 1000000,
                "winograd_channels": 1000000,
                "winograd_pixels_per_channel": 1000000,
            },
        },
    },
    "avx512_bf16": {
        "float32": {
            "forward": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 121,
                "winograd_channels": 128,
                "winograd_pixels_per_channel": 12.25,
            },
            "input_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 225,
                "winograd_channels": 128,
                "winograd_pixels_per_channel": 12.25,
            },
            "kernel_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 961,
                "depthwise_shift_taps": 9,
                "blocked_channels": 0,
                "dense_fft_taps": 25,
                "winograd_channels": 32,
                "winograd_pixels_per_channel": 12.25,
            },
        },
        "bfloat16": {
            "forward": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 1000000,
                "winograd_channels": 1000000,
                "winograd_pixels_per_channel": 1000000,
            },
            "input_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 0,
                "blocked_channels": 0,
                "dense_fft_taps": 1000000,
                "winograd_channels": 1000000,
                "winograd_pixels_per_channel": 49.0,
            },
            "kernel_gradient": {
                "least_macs": 1000000,
                "depthwise_fft_taps": 1000000,
                "depthwise_shift_taps": 9,
                "blocked_channels": 0,
                "dense_fft_taps": 25,
                "winograd_channels": 512,
                "winograd_pixels_per_channel": 12.25,
            },
        },
    },
}
