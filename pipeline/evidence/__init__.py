"""The evidence of a release: one bundle that says what was released, what proved it, and who approved it."""
