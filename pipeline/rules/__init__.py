"""Edit the fraud rules safely: ``python -m pipeline.rules check FILE``, and an override of live rules."""
