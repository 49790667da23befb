"""The release controller: moves production traffic from the stable version (blue) to the candidate (green).

Read it in this order:

- ``traffic``: the state of listener and aliases, and the calls from one state to another
- ``record``: the stored state of a release
- ``machine``: the pure decision, record + observation → next record
- ``controller``: the loop that carries decisions out through ``ports``; ``aws`` implements these on boto3
- ``new_release``, ``lease`` and ``driver``: a release's first record, the lease, the drive to the release's end
- ``commands`` and ``cli``: the operators' commands
"""
