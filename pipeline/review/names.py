"""By what GitHub knows a review again. Imports nothing: the job that publishes has nothing installed."""

MARKER = "<!-- compliance review -->"
"""First line of the comment, by which it is found and replaced."""
TOOL = "payment-pipeline compliance"
"""Whose alerts these are, in code scanning."""
