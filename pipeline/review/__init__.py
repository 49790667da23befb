"""What a change does to compliance: the findings of two commits, compared, for people and for code scanning."""
