"""The commands of the promotion on this machine. ``make`` has a target for each.

    python -m pipeline.local promote [--revision REV] [--approve yes]
    python -m pipeline.local approve | reject [--comment TEXT] [--name NAME] [--promotion ID] [--step ID]
    python -m pipeline.local status | down | clean | remote | pictures

Exit codes: 0 done, or stopped before an approval; 1 a step failed; 2 bad input; 3 another promotion is running;
130 interrupted.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from localcloud import LocalCloudError
from pipeline.git import GitError
from pipeline.local import remote, report
from pipeline.local.approval import record_decision, require_another, waiting_run
from pipeline.local.console import Console, LineConsole, console_for_output
from pipeline.local.errors import ExitCode, PromotionError
from pipeline.local.promotion import Promotion, PromotionRequest
from pipeline.local.recovery import end_orphans
from pipeline.local.source import check_packages
from pipeline.local.state import State
from pipeline.output import discard_unwritten_output, say


def promote(state: State, options: argparse.Namespace) -> None:
    request = PromotionRequest(
        revision=options.revision, repository=options.repository, approve=options.approve == "yes"
    )
    with state.lock("a promotion"), console_for_output() as console:
        end_orphans(state, console)
        promotion = Promotion.begin(state, console, request)
        _execute(promotion, promotion.execute, console)


def approve(state: State, options: argparse.Namespace) -> None:
    with state.lock("a promotion"), console_for_output() as console:
        end_orphans(state, console)
        run, step = waiting_run(state.runs, options.promotion, options.step)
        require_another(run)
        check_packages(state.root, run.source)
        record_decision(run, step, "approved", name=options.name, comment=options.comment)
        step.status, step.ended = "succeeded", time.time()
        promotion = Promotion(state, run, console, PromotionRequest())
        _execute(promotion, promotion.resume, console)


def reject(state: State, options: argparse.Namespace) -> None:
    with state.lock("a rejection"), console_for_output() as console:
        run, step = waiting_run(state.runs, options.promotion, options.step)
        record_decision(run, step, "rejected", name=options.name, comment=options.comment)
        step.status, step.ended = "rejected", time.time()
        run.end("rejected", step.detail)
        console.say(f"Rejected: {run.revision[:12]} goes no further. The environment after the approval is unchanged.")


def status(state: State, options: argparse.Namespace) -> None:
    report.show_status(state)


def down(state: State, options: argparse.Namespace) -> None:
    with state.lock("make down"):
        _stop_everything(state)


def clean(state: State, options: argparse.Namespace) -> None:
    with state.lock("make clean"):
        _stop_everything(state)
        for cloud in report.clouds(state):
            cloud.remove()
        if remote.remove(state):
            say(f"removed the git remote {remote.NAME!r}")
        for path in (*state.removable(), state.root / "cdk.out", state.root / "reports"):
            if path.is_dir():
                shutil.rmtree(path)
                say(f"removed {path.relative_to(state.root)}/")


def _stop_everything(state: State) -> None:
    """Stop every cloud, also one that no longer answers: ``stop`` looks for its processes."""
    end_orphans(state, LineConsole())
    failures = []
    for cloud in report.clouds(state):
        ran = cloud.is_running()
        try:
            cloud.stop()
        except LocalCloudError as error:
            failures.append(str(error))
        else:
            say(f"{cloud.name}: {'stopped' if ran else 'was not running'}")
    if failures:
        raise PromotionError("\n".join(failures))


def make_remote(state: State, options: argparse.Namespace) -> None:
    with state.lock("make remote"):
        say(remote.create(state))


def pictures(state: State, options: argparse.Namespace) -> None:
    from pipeline.local.pictures import draw  # no other command needs what draws a gate, which is slow to import

    draw(state)


COMMANDS: dict[str, tuple[Callable[[State, argparse.Namespace], None], str]] = {
    "promote": (promote, "promote a commit through dev, staging and prod"),
    "approve": (approve, "approve the waiting promotion and continue it"),
    "reject": (reject, "reject the waiting promotion, which ends it"),
    "status": (status, "the last promotion, and the local clouds"),
    "down": (down, "stop the local clouds"),
    "clean": (clean, "stop the local clouds, and remove all local state"),
    "pictures": (pictures, "draw the README's pictures from the last promotion"),
    "remote": (make_remote, "create the git remote `local`: a push to its main promotes"),
}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup, and a script that starts this command in its background, make it ignore signals. They stay ignored, but
        # by a handler: the steps would inherit SIG_IGN, and then nothing could interrupt them.
        ignored = signal.getsignal(sign) is signal.SIG_IGN
        signal.signal(sign, _ignore if ignored else _as_interrupt)
    code = _code(options)
    discard_unwritten_output()
    return code


def _code(options: argparse.Namespace) -> int:
    try:
        COMMANDS[options.command][0](State(Path.cwd()), options)
    except (PromotionError, LocalCloudError) as error:
        if not getattr(error, "shown", False):
            say(str(error), sys.stderr)
        report.leave_last_word(getattr(error, "headline", "") or str(error))
        return getattr(error, "exit_code", ExitCode.FAILED)
    except GitError as error:
        say(str(error), sys.stderr)
        return ExitCode.FAILED
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"{error}\nIs the disk full, or does .pipeline belong to another user?", sys.stderr)
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
            command.add_argument("--revision", help="commit, branch or tag to promote (default: HEAD)")
            command.add_argument("--repository", type=Path, help="git directory that holds it (default: the one here)")
            command.add_argument("--approve", choices=["yes"], help="approve every environment beforehand")
        if name in ("approve", "reject"):
            command.add_argument("--comment", default="", help="why; it is recorded with the decision")
            command.add_argument("--name", default="", help="your name; it is recorded beside your user name")
            command.add_argument("--promotion", metavar="ID", help="refuse if another promotion waits than this one")
            command.add_argument("--step", metavar="ID", help="refuse if it waits for another step: prod-promotetoprod")
    return parser


def _execute(promotion: Promotion, work: Callable[[], None], console: Console) -> None:
    try:
        work()
    except PromotionError as error:
        error.shown, error.headline = True, report.headline(promotion.run)
        raise
    finally:
        report.show_outcome(promotion.run, console)


def _as_interrupt(sign: int, frame: object) -> None:
    raise KeyboardInterrupt(signal.Signals(sign).name)


def _ignore(sign: int, frame: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
