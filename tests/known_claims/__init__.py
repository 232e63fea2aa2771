"""For every claim of `experiments.claims`: trainings whose outcome is known, and what follows.

A chapter's file holds `CASES`; `tests/experiments/test_claims_known.py` measures each of them.
"""
