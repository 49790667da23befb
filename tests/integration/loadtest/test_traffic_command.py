"""Steady traffic while a command runs."""

import signal
import sys

import pytest

from tests.integration.loadtest.conftest import Begin, Cli, Report, Serve


def test_counts_requests_and_the_versions_that_answered(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a healthy API whose functions have version 7
    url = serve(version="7")
    # When a command runs for three seconds
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "20", "--", "sleep", "3")
    # Then every request sent meanwhile is accounted for
    assert done.returncode == 0, done.stderr
    found = report("traffic.json")
    assert found["sent"] == found["right"] > 20
    assert (found["lost"], found["wrong"]) == (0, 0)
    assert sum(found["versions"][route]["7"] for route in found["versions"]) == found["sent"]


def test_to_a_stage_that_is_closed_nothing_is_sent_until_it_opens(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a stage that opens while the command runs
    url = serve(closed_for=2.0)
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "20", "--", "sleep", "7")
    # Then requests were sent after that, and none was lost
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("  production is closed until a first release")
    found = report("traffic.json")
    assert found["sent"] == found["right"] > 20
    # And when it stays closed, none is sent, and the command's exit code counts
    stays = cli("loadtest.traffic", "--env", "dev", "--url", serve(closed_for=60), "--unsigned", "--", "sleep", "1")
    assert stays.returncode == 0, stays.stdout + stays.stderr
    assert "0 sent, 0 lost, 0 wrong; answered by nobody" in stays.stdout


def test_a_single_route_that_is_closed_gets_no_requests(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a new function, whose stable version is closed
    url = serve(closed_for=60, only_route="/process")
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "20", "--", "sleep", "3")
    # Then the others get theirs
    assert done.returncode == 0, done.stdout + done.stderr
    found = report("traffic.json")
    assert found["sent"] == found["right"] > 20
    assert "/process" not in found["versions"]
    assert "/process closed until a first release: no requests are sent there" in done.stdout


@pytest.mark.parametrize(("command", "code"), [("exit 0", 10), ("exit 7", 7)])
def test_more_losses_than_the_budget_allows_fail_a_command_that_succeeded(
    serve: Serve, cli: Cli, report: Report, command: str, code: int
) -> None:
    # Given a command that does not heed that it is told
    url = serve(status=502, only_route="/process")
    shell = ("--", "sh", "-c", f"trap '' USR1; sleep 2; {command}")
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "20", *shell)
    assert done.returncode == code, done.stderr
    found = report("traffic.json")
    assert found["reasons"] == {"/process: status 502": found["lost"]}
    assert found["command_exit_code"] == int(command[-1])
    assert found["budget"] == {"share": 0.001, "confidence": 0.95, "overspent": True}


def test_a_command_is_told_while_requests_are_lost(serve: Serve, cli: Cli, report: Report) -> None:
    # Given a command that would run for a minute, and goes back when it is told
    url = serve(status=502, only_route="/process")
    script = "trap 'echo went back; exit 1' USR1; while true; do sleep 0.1; done"
    # When one route loses its requests
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "40", "--", "sh", "-c", script)
    # Then it went back, its exit code and its conclusion count, and a detail says why
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == ["went back"]
    assert "were lost while the command ran, more than the budget of 0.10%; it ended with 1" in done.stdout
    assert report("traffic.json")["sent"] < 40 * 30


@pytest.mark.parametrize(("candidate", "told"), [(502, "candidate"), (None, "everybody")])
def test_a_command_is_told_whether_the_candidate_is_at_fault(
    serve: Serve, cli: Cli, report: Report, candidate: int | None, told: str
) -> None:
    # Given a production stage that loses some requests, and a candidate's stage that loses all, or none
    url = serve(status=502, only_route="/process")
    stage = serve(status=candidate) if candidate else serve()
    script = "trap 'echo candidate; exit 1' USR1; trap 'echo everybody; exit 1' USR2; while true; do sleep 0.1; done"
    urls = ("--url", url, "--candidate-url", stage, "--unsigned")

    done = cli("loadtest.traffic", "--env", "dev", *urls, "--rate", "40", "--", "sh", "-c", script)

    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if not line.startswith(" ")] == [told]
    assert report("traffic.json")["sent"] < 40 * 30


def test_a_loss_within_the_budget_is_told_and_fails_nothing(serve: Serve, cli: Cli, report: Report) -> None:
    # Given an API that loses one request in 60
    url = serve(status=502, fail_at=60)
    # When a command sends some more than that
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "40", "--", "sleep", "3")
    # Then it succeeds, and the loss is in the report
    assert done.returncode == 0, done.stdout + done.stderr
    found = report("traffic.json")
    assert (found["lost"], found["wrong"], found["budget"]["overspent"]) == (1, 0, False)
    assert "1 lost, 0 wrong" in done.stdout


def test_a_wrong_answer_counts_too(serve: Serve, cli: Cli, report: Report) -> None:
    url = serve(wrong_every=5)
    deaf = ("sh", "-c", "trap '' USR1; sleep 2")
    done = cli("loadtest.traffic", "--env", "dev", "--url", url, "--unsigned", "--rate", "20", "--", *deaf)
    assert done.returncode == 10
    found = report("traffic.json")
    assert found["wrong"] > 0
    # And the conclusion, the last line that is not indented, says so
    conclusion = [line for line in done.stdout.splitlines() if not line.startswith(" ")][-1]
    assert conclusion.startswith(f"{found['wrong']} of {found['sent']} requests ")
    assert "answered wrongly while the command ran, more than the budget of 0.10%; it ended with 0" in conclusion
    assert f"what it did stands: {max(found['reasons'], key=found['reasons'].__getitem__)} (" in conclusion
    assert conclusion.endswith(": see reports/dev/traffic.json")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_go_to_the_command_and_its_end_is_waited_for(
    serve: Serve, begin: Begin, report: Report, number: signal.Signals
) -> None:
    # Given a command that takes a while to end when it is told to (a print() of the handler could meet the one that it
    # interrupts, which Python refuses)
    script = (
        "import os, signal, sys, time\n"
        "def stop(number, _): time.sleep(1); os.write(1, b'cleaned up %d\\n' % number); sys.exit(5)\n"
        "signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)\n"
        "signal.signal(signal.SIGHUP, stop)\n"
        "print('ready', flush=True); time.sleep(30)"
    )
    traffic = begin(
        "loadtest.traffic", "--env", "dev", "--url", serve(), "--unsigned", "--", sys.executable, "-c", script
    )
    assert traffic.stdout
    assert traffic.stdout.readline() == "ready\n"
    # When the traffic is told to
    traffic.send_signal(number)
    output, errors = traffic.communicate(timeout=30)
    # Then the command had its time, and its exit code counts
    assert f"cleaned up {int(number)}" in output, errors
    assert traffic.returncode == 5, errors
    assert report("traffic.json")["lost"] == 0


def test_nothing_runs_without_a_way_to_watch_it(cli: Cli) -> None:
    done = cli("loadtest.traffic", "--env", "dev", "--url", "http://127.0.0.1:9/x", "--unsigned", "--", "echo", "ran")
    assert done.returncode == 5
    assert "ran" not in done.stdout


def test_a_command_that_does_not_exist(serve: Serve, cli: Cli) -> None:
    done = cli("loadtest.traffic", "--env", "dev", "--url", serve(), "--unsigned", "--", "no-such-command")
    assert done.returncode == 127
    assert cli("loadtest.traffic", "--env", "dev").returncode == 2
