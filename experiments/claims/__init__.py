"""The advice of the notes as experiments: one file a claim, one page of verdicts."""
