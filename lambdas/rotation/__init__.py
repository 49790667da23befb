"""Secrets Manager rotation: the password of the application's role, and the keys of card fingerprints."""
