"""The target of the load: an API by its public URL, over the network or through the local cloud."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


class BadTarget(ValueError):
    """The URL can't be loaded; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An API to load.

    ``url``: its public base URL, with the stage. ``connect_host``, ``connect_port``, ``tls``: where connections really
    go. ``ca_bundle``: file with the certificates to trust; ``None`` means the system's.
    """

    url: str
    host: str
    base_path: str
    connect_host: str
    connect_port: int
    tls: bool
    ca_bundle: str | None

    @property
    def is_local_cloud(self) -> bool:
        """Whether a local cloud stands for AWS. It puts nothing to sleep."""
        return self.connect_host != urlsplit(self.url).hostname

    @classmethod
    def parse(cls, url: str, environ: Mapping[str, str] = os.environ) -> "Target":
        """The target behind ``url``. An execute-api host is reached at ``AWS_ENDPOINT_URL`` when that is set, as the
        AWS SDKs reach services: under its own name, at another address.

        Raises ``BadTarget``.
        """
        try:
            public = urlsplit(url)
            endpoint = public
            if ".execute-api." in public.netloc and environ.get("AWS_ENDPOINT_URL"):
                endpoint = urlsplit(environ["AWS_ENDPOINT_URL"])
            port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
        except ValueError as error:
            raise BadTarget(f"{url!r} is not a URL: {error}") from error
        if public.scheme not in ("http", "https") or not public.hostname or not endpoint.hostname or public.query:
            raise BadTarget(f"{url!r}: expected http(s)://host[:port][/stage]")
        return cls(
            url=url,
            host=public.netloc,
            base_path=public.path.rstrip("/"),
            connect_host=endpoint.hostname,
            connect_port=port,
            tls=endpoint.scheme == "https",
            ca_bundle=environ.get("AWS_CA_BUNDLE"),
        )
