"""The load gate on AWS Fargate: for rates that one machine can't send.

    python -m loadtest.fargate --env prod --workers 8

It runs the same gate as a task in the environment's private network, with N workers of one processor each. This command
starts them, shows the gate's log, brings its reports to reports/<env>/, and stops every task that it started, even
after an error. The environment must be deployed with `load_workers` over 0 (environments.py). All workers leave through
one NAT gateway, so the firewall sees one address: mind `requests_per_address` there.

The exit code is the gate's (`python -m loadtest.gate --help` explains them). It is 9, too, when a task can't be
started, ends before its time or takes too long, and 130 when this command is interrupted.
"""

import argparse
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from loadtest import reports
from loadtest.fleet import START_SECONDS, Fleet
from loadtest.options import add_gate_options, gate_settings, positive_integer
from loadtest.result import ExitCode, GateError
from pipeline import aws
from pipeline.arguments import environment_name
from pipeline.output import say


def main(argv: list[str] | None = None) -> int:
    arguments, gate_options, seconds = _parse(sys.argv[1:] if argv is None else argv)
    name: str = arguments.env.name
    folder = Path("reports") / name
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, lambda *_: interrupted.set())
    try:
        reports.write_trouble(name, None, folder)
        with _troubles_of_aws():
            session = aws.session(arguments.env.region, arguments.env.name)
            place = json.loads(aws.PlatformOutputs.read(arguments.env.stack_name, session)["LoadTasks"])
            with contextlib.closing(Fleet(place, session, interrupted, time.monotonic() + seconds)) as fleet:
                return fleet.run_gate(arguments.workers, gate_options)
    except OSError as error:
        say(f"load gate {name}: no verdict: {error}", sys.stderr)
        return ExitCode.GENERATOR_DIED
    except GateError as trouble:
        with contextlib.suppress(OSError):  # the exit code matters more
            reports.write_trouble(name, trouble, folder)
        say(f"load gate {name}: no verdict: {trouble}", sys.stderr)
        return trouble.code


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str], float]:
    """The arguments, those for the gate, and the time limit in seconds."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--workers", type=positive_integer, required=True, metavar="N", help="tasks that generate load")
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.fargate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        parents=[own],
    )
    parser.add_argument("--env", type=environment_name, required=True, metavar="NAME", help="an environment")
    add_gate_options(parser)
    arguments = parser.parse_args(argv)
    try:
        settings = gate_settings(arguments)
    except ValueError as error:
        parser.error(str(error))
    return arguments, own.parse_known_args(argv)[1], START_SECONDS + settings.warm_up_seconds + settings.max_seconds


@contextlib.contextmanager
def _troubles_of_aws() -> Iterator[None]:
    """Turn errors of AWS into ``GateError``."""
    try:
        yield
    except aws.OtherEnvironment as error:
        raise GateError(ExitCode.USAGE, str(error)) from error
    except aws.PlatformNotDeployed as error:
        raise GateError(ExitCode.NOT_DEPLOYED, str(error)) from error
    except NoCredentialsError as error:
        raise GateError(ExitCode.REFUSED, str(error)) from error
    except BotoCoreError as error:
        raise GateError(ExitCode.UNREACHABLE, str(error)) from error
    except ClientError as error:
        refused = error.response["Error"]["Code"].startswith(("AccessDenied", "ExpiredToken", "InvalidClientToken"))
        raise GateError(ExitCode.REFUSED if refused else ExitCode.GENERATOR_DIED, str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
