"""What the experiments on convolution measure: shapes of networks, spectra, algorithms by turns."""
