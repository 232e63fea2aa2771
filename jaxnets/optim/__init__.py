"""jaxnets.optim"""
