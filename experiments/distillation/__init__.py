"""Ensembles: of networks, checkpoints, snapshots, and averaged weights."""
