"""Transfer with fully connected networks, for the claims."""
