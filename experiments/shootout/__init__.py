"""Parts of `experiments.optimizer_shootout`."""
