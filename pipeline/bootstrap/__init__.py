"""Prepares an AWS account for the first deployment: ``python -m pipeline.bootstrap --help``."""
