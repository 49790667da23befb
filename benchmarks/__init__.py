"""What the figures in the documentation come from. Each module is one benchmark: ``python -m benchmarks.NAME``."""
