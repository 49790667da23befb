"""What an AWS account needs once before the app can be deployed to it: ``python -m pipeline.bootstrap --help``."""
