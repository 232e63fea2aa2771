"""Networks: what they consist of, what they cost, how they compare."""
