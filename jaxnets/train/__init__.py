"""jaxnets.train"""
