"""jaxnets.models"""
