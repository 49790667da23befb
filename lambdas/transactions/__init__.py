"""The routes under ``/transactions``: look-ups, decisions of reviewers, reversals."""
