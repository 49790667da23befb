"""Compares compliance, templates and costs of two commits, for people and for code scanning.

``__main__`` synthesises both (``synthesis``), compares them (``comparison``: ``findings``, ``acknowledgements``,
``templates``, ``costs``) and writes the result (``reports``).
"""


class NotCompared(Exception):
    """One of the two could not be synthesised or read. This never means that there is no difference."""
