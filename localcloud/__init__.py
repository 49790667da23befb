"""The local cloud: one process per environment that runs the synthesised templates as they are.

MiniStack serves the AWS APIs. :mod:`localcloud.emulator` adds the parts that MiniStack lacks. A real PostgreSQL
replaces Aurora. IAM is enforced, every connection uses TLS, and every socket listens on 127.0.0.1 only.
``docs/local-cloud.md`` lists the parts of AWS that it reproduces and the parts that it does not.
"""

import pipeline  # noqa: F401 - it explains a missing package, also one that the next line needs
from localcloud.cloud import NO_AWS_FILES, LocalCloud, LocalCloudError, unproxied

__all__ = ["NO_AWS_FILES", "LocalCloud", "LocalCloudError", "unproxied"]
