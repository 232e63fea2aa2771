"""Searching for networks."""
