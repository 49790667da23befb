"""The promotion path on one machine: the same plan, templates and commands as on AWS, against a local cloud."""
