"""Where a person's joints are."""
