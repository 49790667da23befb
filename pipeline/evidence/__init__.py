"""The evidence of a release: one bundle with the released commit, the reports that prove it, and its approvals."""
