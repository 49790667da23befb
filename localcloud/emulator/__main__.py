"""``python -m localcloud.emulator FOLDER SOCKET``: serve the local cloud whose settings are in FOLDER.

SOCKET is the file descriptor of the listening socket that the parent opened. ``--pin`` serves nothing: it records the
installed MiniStack as the reviewed one. The process ends on SIGTERM, SIGINT and SIGHUP, and ends its children first.
"""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from localcloud.settings import Settings

STOP_SECONDS = 2


def configure(settings: Settings) -> None:
    """Set MiniStack's settings. It reads them from the environment when it is imported; its functions inherit them."""
    scratch = Path(settings.folder) / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    os.environ.update(
        {
            "MINISTACK_ACCOUNT_ID": settings.account,
            "MINISTACK_REGION": settings.region,
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(settings.port),
            "AUTH": "true",
            "USE_SSL": "1",
            "MINISTACK_SSL_CERT": str(settings.tls / "server.pem"),
            "MINISTACK_SSL_KEY": str(settings.tls / "server.key"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "S3_DATA_DIR": str(scratch / "s3"),
            "STATE_DIR": str(scratch / "state"),
            "TMPDIR": str(scratch),
            "AWS_ACCESS_KEY_ID": settings.access_key_id,
            "AWS_SECRET_ACCESS_KEY": settings.secret_access_key,
            # For the functions: the emulator replaces AWS, and they trust its certificate authority only.
            "AWS_ENDPOINT_URL": settings.endpoint,
            "AWS_CA_BUNDLE": settings.ca,
            "SSL_CERT_FILE": settings.ca,
            "DATABASE_CA_BUNDLE": settings.ca,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
    )
    tempfile.tempdir = str(scratch)


def extend() -> None:
    """Import MiniStack and install the extensions. Raises ``UpstreamChanged``."""
    from localcloud.emulator import (  # noqa: F401
        account_facts,
        alarms,
        aliases,
        aurora,
        buckets,
        capacity,
        custom_resources,
        deployments,
        dns,
        expressions,
        failed_stacks,
        function_logs,
        gateway,
        identity,
        indexes,
        lifecycle,
        load_balancer,
        memory,
        metrics,
        no_silent_drops,
        operations,
        packages,
        permissions,
        private_integration,
        properties,
        reachability,
        resources,
        runtime,
        schedules,
        signatures,
        tasks,
        template_secrets,
        workers,
    )


class Server(uvicorn.Server):
    """Leaves the signals to ``serve``."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(settings: Settings, listening: int) -> None:
    from ministack.app import app
    from ministack.core import lambda_runtime

    from localcloud.emulator import alarms, aurora, control, memory, reachability, tasks

    # MiniStack's own server, Hypercorn, takes two to three times as long for a request as this one.
    config = uvicorn.Config(
        control.with_commands(reachability.enforced(app)),
        http="httptools",
        ws="none",
        ssl_certfile=str(settings.tls / "server.pem"),
        ssl_keyfile=str(settings.tls / "server.key"),
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
        log_level="warning",
        access_log=False,
        date_header=False,  # the application sends these two where AWS does
        server_header=False,
    )

    async def run() -> None:
        stop = asyncio.Event()
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
        alarms.start_clock()
        memory.watch()
        server = Server(config)
        serving = asyncio.create_task(server.serve([socket.socket(fileno=listening)]))
        await asyncio.wait([serving, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True  # running requests may finish
        await serving

    try:
        asyncio.new_event_loop().run_until_complete(run())
    finally:
        tasks.running.stop_all()
        lambda_runtime.reset()
        aurora.server.stop()


GIVE_WAY_SECONDS = 0.001
"""A thread that computes lets the requests of others in after this time. Python's own is five times as long."""


def main() -> None:
    from localcloud.emulator import own_api, upstream

    if sys.argv[1:] == ["--pin"]:
        extend()
        upstream.pin()
        return
    sys.setswitchinterval(GIVE_WAY_SECONDS)
    try:
        folder, descriptor = sys.argv[1:]
        settings, listening = Settings.read(Path(folder)), int(descriptor)
    except (OSError, ValueError) as error:
        print(f"`python -m localcloud start ENVIRONMENT` starts this program: {error}", file=sys.stderr)
        sys.exit(2)
    configure(settings)
    own_api.use(settings)
    try:
        extend()
        upstream.check()
    except upstream.UpstreamChanged as error:
        sys.exit(str(error))
    serve(settings, listening)
    os._exit(0)  # without waiting for MiniStack's daemon threads


if __name__ == "__main__":
    main()
