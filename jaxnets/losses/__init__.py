"""jaxnets.losses"""
