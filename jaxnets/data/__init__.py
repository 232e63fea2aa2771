"""jaxnets.data"""
