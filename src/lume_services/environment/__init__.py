"""Packages with models: what is in one, and the environment that it runs in."""
