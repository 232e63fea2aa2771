"""jaxnets.metrics"""
