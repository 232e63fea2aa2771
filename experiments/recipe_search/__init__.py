"""Parts of `experiments.find_recipe`."""
