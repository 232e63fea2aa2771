"""Looking inside networks."""
