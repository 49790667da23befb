"""Custom resource: empties a bucket that is about to be deleted."""
