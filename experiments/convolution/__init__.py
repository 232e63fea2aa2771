"""Convolution as an algorithm: spectra, fast products, and how long each takes."""
