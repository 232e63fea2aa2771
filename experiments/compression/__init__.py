"""Smaller networks: pruned, with shared weights, encoded."""
