"""The release controller: moves production traffic from the stable version (blue) to the candidate (green).

Read it in this order:

- ``traffic``: what the listener and the aliases say, and the calls from one state to another
- ``record``: what is remembered of a release
- ``machine``: the pure decision, record + observation → next record
- ``controller``: the loop that carries decisions out through ``ports``; ``aws`` implements these on boto3
- ``new_release``, ``lease`` and ``driver``: a release's first record, the lease, the way from the one to the end
- ``commands`` and ``cli``: what people ask for
"""
