"""What the experiments on optimizers measure: surfaces, small problems, curvature, peers."""
