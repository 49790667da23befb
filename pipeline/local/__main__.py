"""The promotion on this machine, command by command; ``make`` has a target for each.

    python -m pipeline.local promote [--revision REV] [--approve yes]
    python -m pipeline.local approve | reject
    python -m pipeline.local status | down | clean | remote

Exit codes: 0 done, or stopped before an approval; 1 a step failed; 2 bad input; 3 another promotion is running;
130 interrupted.
"""

import argparse
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from localcloud import LocalCloudError
from pipeline.local import remote, report
from pipeline.local.console import Console, PlainConsole, choose
from pipeline.local.errors import ExitCode, PromotionError
from pipeline.local.promotion import Promotion, Request, end_leftovers, waiting_run
from pipeline.local.source import check_packages
from pipeline.local.state import State


def promote(state: State, asked: argparse.Namespace) -> None:
    request = Request(revision=asked.revision, repository=asked.repository, approve=asked.approve == "yes")
    with state.lock("a promotion"), choose() as console:
        end_leftovers(state, console)
        _go(Promotion.begin(state, console, request), console)


def approve(state: State, asked: argparse.Namespace) -> None:
    with state.lock("a promotion"), choose() as console:
        end_leftovers(state, console)
        run, step = waiting_run(state)
        check_packages(state.root, run.source)
        promotion = Promotion(state, run, console, Request())
        promotion.record_decision(step, "approved")
        step.status = "succeeded"
        _go(promotion, console)


def reject(state: State, asked: argparse.Namespace) -> None:
    with state.lock("a rejection"), choose() as console:
        run, step = waiting_run(state)
        Promotion(state, run, console, Request()).record_decision(step, "rejected")
        step.status = "rejected"
        run.end("rejected", step.detail)
        console.say(f"Rejected: {run.revision[:12]} goes no further. Nothing was changed in the environment behind it.")


def status(state: State, asked: argparse.Namespace) -> None:
    report.show_status(state)


def down(state: State, asked: argparse.Namespace) -> None:
    with state.lock("make down"):
        _stop_everything(state)


def clean(state: State, asked: argparse.Namespace) -> None:
    with state.lock("make clean"):
        _stop_everything(state)
        for cloud in report.clouds(state):
            cloud.remove()
        if remote.remove(state):
            print(f"removed the git remote {remote.NAME!r}")
        for path in (*state.leavings(), state.root / "cdk.out", state.root / "reports"):
            if path.is_dir():
                shutil.rmtree(path)
                print(f"removed {path.relative_to(state.root)}/")


def _stop_everything(state: State) -> None:
    """Also what does not answer any more: ``stop`` looks for processes, not for answers."""
    end_leftovers(state, PlainConsole())
    troubles = []
    for cloud in report.clouds(state):
        ran = cloud.is_running()
        try:
            cloud.stop()
        except LocalCloudError as error:
            troubles.append(str(error))
        else:
            print(f"{cloud.name}: {'stopped' if ran else 'was not running'}")
    if troubles:
        raise PromotionError("\n".join(troubles))


def make_remote(state: State, asked: argparse.Namespace) -> None:
    state.prepare()
    print(remote.create(state))


COMMANDS: dict[str, tuple[Callable[[State, argparse.Namespace], None], str]] = {
    "promote": (promote, "take a commit through dev, staging and prod"),
    "approve": (approve, "let the waiting promotion go on"),
    "reject": (reject, "end the waiting promotion"),
    "status": (status, "the last promotion, and the local clouds"),
    "down": (down, "stop the local clouds"),
    "clean": (clean, "stop them, and remove all local state"),
    "remote": (make_remote, "create the git remote `local`: a push to its main promotes"),
}


def main(arguments: list[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What is ignored here (nohup does that, and a script that starts this in its background) stays ignored, but by
        # a handler: a plain SIG_IGN would pass to every step, which then could not be told to stop.
        ignored = signal.getsignal(sign) is signal.SIG_IGN
        signal.signal(sign, _ignore if ignored else _as_interrupt)
    try:
        COMMANDS[asked.command][0](State(Path.cwd()), asked)
    except (PromotionError, LocalCloudError) as error:
        if not getattr(error, "told", False):
            print(error, file=sys.stderr)
        return getattr(error, "exit_code", ExitCode.FAILED)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{error}\nIs the disk full, or does .pipeline belong to another user?", file=sys.stderr)
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.OK


def _parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("Exit codes:")
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.local",
        description=description,
        epilog="Exit codes:" + epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (_, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == "promote":
            command.add_argument("--revision", help="what to promote, as git names it (default: HEAD)")
            command.add_argument(
                "--repository", type=Path, help="git directory to take it from (default: the one here)"
            )
            command.add_argument("--approve", choices=["yes"], help="give every approval beforehand")
    return parser


def _go(promotion: Promotion, console: Console) -> None:
    try:
        promotion.go()
    except PromotionError as error:
        error.told = True
        raise
    finally:
        report.show_outcome(promotion.run, console)


def _as_interrupt(sign: int, frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(sign).name)


def _ignore(sign: int, frame: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
