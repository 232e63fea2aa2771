"""Transfer: what a pretrained network is worth for other data, and how to use it."""
