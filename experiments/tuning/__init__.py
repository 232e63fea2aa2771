"""Tuning: a recipe found step by step, and what the curves of a run say."""
