"""L-BFGS with box bounds."""
