"""The time of day, as the reports write it."""

import time


def timestamp() -> str:
    """Now, in UTC (ISO 8601)."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
