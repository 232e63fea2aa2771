"""Small entry files: `python -m experiments.NAME --help`."""
