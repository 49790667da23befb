"""The release controller: moves production traffic from the stable version (blue) to the candidate (green).

Read it in this order: ``traffic`` (what the listener and the aliases say, and the calls from one state to another),
``record`` (what is remembered of a release), ``machine`` (the pure decision: record + observation → next record),
``controller`` (the loop that carries decisions out through ``ports``), ``aws`` (the ports on boto3) and ``cli``.
"""
