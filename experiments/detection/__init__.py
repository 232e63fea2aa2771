"""Detection: what finds objects, and what its parts cost."""
