"""Releases: stable and candidate of an environment, and the commands on them."""
