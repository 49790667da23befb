"""What a change does to compliance, templates and costs: two commits compared, for people and for code scanning.

``__main__`` makes both sides (``sides``), compares them (``comparison``: ``findings``, ``acknowledgements``,
``templates``, ``costs``) and
writes what came out (``reports``).
"""


class NotCompared(Exception):
    """A side could not be had; that is never the same as there being no difference."""
