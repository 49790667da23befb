"""The rules of the PCI DSS 4.0.1 pack, one module per subject."""
