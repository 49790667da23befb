"""Evidence and compliance: the bundles with their verification, the findings, and what was accepted until when."""
