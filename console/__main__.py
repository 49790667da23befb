"""The console: promotions, releases, gates, alarms and payments as pages, live.

    python -m console                        the promotions and local clouds of this folder
    python -m console --aws                  the pipeline and the platforms on AWS, read-only
    python -m console --aws --allow-actions  ... with approvals, decisions and release commands

On AWS it uses your own credentials (variables, profile, single sign-on), and says as whom.

It prints a link that holds a token, and answers nobody without it, on this machine only. A link opens one browser; the
console then prints the next. Ctrl-C ends it, and nothing that was started from it.

Exit codes: 0 ended by Ctrl-C; 1 it could not start; 2 usage.
"""

import argparse
import contextlib
import os
import socket
import sys
from enum import IntEnum
from pathlib import Path

import boto3
import uvicorn
from botocore.exceptions import BotoCoreError

from console.actions import Actions
from console.app import NODE_MODULES, Console
from console.evidence.reading import AwsEvidence, LocalEvidence
from console.gates.reading import LocalGates, NoGates
from console.live import Server
from console.monitoring.reading import CloudWatch
from console.payments.reading import ApiPayments
from console.platforms import AwsPlatforms, Clients, LocalPlatforms
from console.promotions.codepipeline import CodePipelinePromotions
from console.promotions.local import LocalPromotions
from console.promotions.reviews import Reviews
from console.releases.reading import AwsReleases
from console.security import Keys
from console.show import Frame
from environments import PIPELINE
from localcloud.settings import TIME_SCALE
from pipeline.aws import session
from pipeline.local.state import State
from pipeline.local.users import system_user
from pipeline.output import say
from pipeline.release.aws.identity import UNKNOWN, identity
from pipeline.release.ports import Unavailable

ADDRESS = "127.0.0.1"
PREFERRED_PORT = 8484
UNREACHABLE = "https://127.0.0.1:9"
LOCAL_METRIC_SECONDS, AWS_METRIC_SECONDS = 5.0, 30.0
"""Between two readings of a dashboard: on a local cloud a minute is a second, and on AWS each reading costs a cent per
20 of them."""


class ExitCode(IntEnum):
    ENDED = 0
    FAILED = 1
    USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.allow_actions and not options.aws:
        parser.error("--allow-actions is for --aws: on this machine actions are allowed")
    if not (NODE_MODULES / "htmx.org").is_dir():
        say("The console's front-end files are not installed: run `make setup`.", sys.stderr)
        return ExitCode.FAILED
    try:
        listening = _listen(options.port)
    except OSError as error:
        say(f"Port {options.port} can't be had: {error.strerror}. Name another with --port, or none.", sys.stderr)
        return ExitCode.FAILED
    port, keys = listening.getsockname()[1], Keys()

    def link(token: str) -> str:
        return f"http://{keys.host}:{port}/?token={token}"

    keys.announce = lambda token: say(f"A browser has opened the console. The link for another one:\n{link(token)}")
    try:
        made = aws_console(Path.cwd(), keys, options.allow_actions) if options.aws else local_console(Path.cwd(), keys)
    except (BotoCoreError, Unavailable) as error:
        say(f"AWS can't be reached as you are: {error}", sys.stderr)
        return ExitCode.FAILED
    say(f"Console: {link(keys.token)}\nOpen this link in a browser; it opens one only. Ctrl-C ends the console.")
    settings = uvicorn.Config(
        made.app(port=port, hosts=(keys.host, ADDRESS)),
        log_level="warning",
        access_log=False,  # its lines would hold the token
        server_header=False,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(settings).run(sockets=[listening])
    return ExitCode.ENDED


def local_console(root: Path, keys: Keys) -> Console:
    """The console of the promotions and local clouds in ``root``."""
    own = dict(os.environ)
    # The minutes of a local cloud's metrics are seconds; and whatever does not name a local cloud reaches nothing.
    os.environ.update(BAKE_SCALE=str(TIME_SCALE), AWS_ENDPOINT_URL=UNREACHABLE)
    state = State(root)
    folder = state.folder / "console"
    actions = Actions(root, folder, who=system_user(), allowed=True, environment=own)
    platforms = LocalPlatforms(state)
    return Console(
        frame=Frame(actions=actions, csrf=keys.csrf, source="this machine"),
        keys=keys,
        promotions=LocalPromotions(state, actions),
        platforms=platforms,
        releases=AwsReleases(platforms),
        gates=LocalGates(state),
        monitoring=CloudWatch(platforms, seconds=LOCAL_METRIC_SECONDS),
        payments=ApiPayments(platforms),
        evidence=LocalEvidence(state),
    )


def aws_console(root: Path, keys: Keys, allowed: bool) -> Console:
    """The console of the pipeline and the platforms on AWS. Raises ``BotoCoreError`` for unusable settings, and
    ``Unavailable`` for credentials of nobody: what is done here is recorded with who did it."""

    def own() -> boto3.Session:
        return session(PIPELINE.region)

    who = identity(own())
    if who == UNKNOWN:
        raise Unavailable("it does not tell who you are: log in, or look at your variables and profile")
    folder = root / ".pipeline/console"
    actions = Actions(root, folder, who=who, allowed=allowed, now=lambda: identity(own()))
    platforms = AwsPlatforms()
    return Console(
        frame=Frame(actions=actions, csrf=keys.csrf, source="AWS"),
        keys=keys,
        promotions=CodePipelinePromotions(Clients(own), actions, Reviews(folder / "comparisons", actions)),
        platforms=platforms,
        releases=AwsReleases(platforms),
        gates=NoGates(),
        monitoring=CloudWatch(platforms, seconds=AWS_METRIC_SECONDS),
        payments=ApiPayments(platforms),
        evidence=AwsEvidence(),
    )


def _listen(port: int | None) -> socket.socket:
    """A socket on ``port``; without one, on the usual port, or any other if that is taken. Raises ``OSError``."""
    for wanted in (PREFERRED_PORT, 0) if port is None else (port,):
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, wanted))
            listening.listen(128)
            return listening
        except OSError:
            listening.close()
            if wanted == 0 or port is not None:
                raise
    raise AssertionError("unreachable")


def _parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("Exit codes:")
    parser = argparse.ArgumentParser(
        prog="python -m console",
        description=description,
        epilog="Exit codes:" + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--aws", action="store_true", help="show the pipeline and the platforms on AWS")
    parser.add_argument("--allow-actions", action="store_true", help="with --aws: act too, and not only look")
    parser.add_argument("--port", type=int, help=f"default: {PREFERRED_PORT}, or any other if that is taken")
    return parser


if __name__ == "__main__":
    sys.exit(main())
