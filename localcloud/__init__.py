"""The local cloud: one process per environment that runs the synthesised templates as they are.

MiniStack serves the AWS APIs, with the extensions in :mod:`localcloud.emulator` for what it lacks; a real
PostgreSQL stands for Aurora. IAM is enforced, everything speaks TLS, nothing listens but on 127.0.0.1.
``docs/local-cloud.md`` says what it shows of AWS and what it does not.
"""

from localcloud.cloud import LocalCloud, LocalCloudError

__all__ = ["LocalCloud", "LocalCloudError"]
