"""The function behind the closed default security group of the VPC."""
