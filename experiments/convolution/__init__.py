"""What the experiments on convolution share: shapes of published networks, and timing."""
