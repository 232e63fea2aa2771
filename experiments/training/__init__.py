"""How fast networks train."""
