"""How GitHub recognises a review. It imports nothing, because the job that publishes has no packages installed."""

MARKER = "<!-- compliance review -->"
"""The comment's first line. The next review finds the comment by it and replaces it."""
TOOL = "payment-pipeline compliance"
"""The tool that code scanning shows for the alerts."""
