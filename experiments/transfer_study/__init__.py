"""Parts of transfer.py, transferability.py and ensemble.py: a small network, data, training."""
