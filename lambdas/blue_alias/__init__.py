"""Custom resource: the alias ``blue``, which a deployment creates once and never moves."""
