"""Looks payments up, and decides and reverses them, as a reviewer or an operator.

    python -m pipeline.transactions --env prod list --status review
    python -m pipeline.transactions --env prod list --customer cust-12345 --from 2026-11-01 --to 2026-11-08
    python -m pipeline.transactions --env prod get txn_0f3c8d0b5b7f4d0c9a4e7e6c1d2b3a49
    python -m pipeline.transactions --env prod decide txn_… approve --reason "The customer confirmed it"
    python -m pipeline.transactions --env prod reverse txn_… --void --reason "Ordered twice"
    python -m pipeline.transactions --env prod reverse txn_… --refund 10.00 --reason "One of two was damaged"

It assumes the role payment-reviewer-<env> to decide, and payment-operator-<env> for everything else. Times are in UTC;
--to is no part of the stretch. ``AWS_ENDPOINT_URL`` selects a local cloud.

A reversal has a key, which is printed first. When no answer came, give the same command again with ``--key``: what has
happened already does not happen twice.

Exit codes: 0 done; 1 refused, and nothing was changed; 2 usage; 3 the API did not answer, or there is none.
"""

import argparse
import json
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from environments import Environment
from names import Staff
from pipeline.arguments import environment_name
from pipeline.aws import OtherEnvironment, PlatformNotDeployed
from pipeline.output import say
from pipeline.transactions.client import Client, Reply, client_of


class ExitCode(IntEnum):
    DONE = 0
    REFUSED = 1
    USAGE = 2
    NO_ANSWER = 3


class Refused(Exception):
    """The API refused the request. The message says why."""


class NoAnswer(Exception):
    """The API could not answer."""


def main(arguments: Sequence[str] | None = None, client: Callable[[Environment, Staff], Client] = client_of) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.transactions",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--env", type=environment_name, required=True, help="environment, such as dev")
    parser.add_argument("--json", action="store_true", help="print the API's answers, a line each")
    commands = parser.add_subparsers(required=True)
    _add_list(commands)
    get = commands.add_parser("get", help="show one transaction with its history")
    get.set_defaults(run=_get, staff=Staff.OPERATOR)
    decide = commands.add_parser("decide", help="approve or decline what stands in review")
    decide.set_defaults(run=_decide, staff=Staff.REVIEWER)
    reverse = commands.add_parser("reverse", help="void a payment, or refund it in whole or in part")
    reverse.set_defaults(run=_reverse, staff=Staff.OPERATOR)
    for command in (get, decide, reverse):
        command.add_argument("id", help="txn_…")
    decide.add_argument("decision", choices=("approve", "decline"))
    kind = reverse.add_mutually_exclusive_group(required=True)
    kind.add_argument("--void", action="store_true", help="cancel the whole payment, within 24 hours")
    kind.add_argument("--refund", nargs="?", const="", metavar="AMOUNT", help="without AMOUNT: all that is left")
    reverse.add_argument("--key", help="of an earlier attempt that had no answer")
    for command in (decide, reverse):
        command.add_argument("--reason", required=True, help="for the audit log; no card number")
    options = parser.parse_args(arguments)
    try:
        for answer in options.run(client(options.env, options.staff), options):
            say(json.dumps(answer) if options.json else _line(answer))
    except OtherEnvironment as error:
        say(str(error), sys.stderr)
        return ExitCode.USAGE
    except Refused as refused:
        say(f"{options.env.name}: refused: {refused}", sys.stderr)
        return ExitCode.REFUSED
    except (NoAnswer, PlatformNotDeployed, BotoCoreError, ClientError, HTTPError) as error:
        say(f"{options.env.name}: no answer: {error}", sys.stderr)
        return ExitCode.NO_ANSWER
    return ExitCode.DONE


def _add_list(commands: Any) -> None:
    command = commands.add_parser("list", help="the transactions of a customer, or of a status, newest first")
    command.set_defaults(run=_list, staff=Staff.OPERATOR)
    of = command.add_mutually_exclusive_group(required=True)
    of.add_argument("--customer", dest="customer_id")
    of.add_argument("--status", help="pending, approved, review, declined, voided, partly_refunded or refunded")
    command.add_argument("--from", help="date or time, default a day before the end")
    command.add_argument("--to", help="date or time, default now")


def _list(client: Client, options: argparse.Namespace) -> Iterator[Any]:
    names = ("customer_id", "status", "from", "to")
    query = {name: value for name in names if (value := getattr(options, name)) is not None}
    while True:
        page = _granted(client.search(**query))
        yield from page["transactions"]
        if "cursor" not in page:
            return
        query["cursor"] = page["cursor"]


def _get(client: Client, options: argparse.Namespace) -> Iterator[Any]:
    yield _granted(client.get(options.id))


def _decide(client: Client, options: argparse.Namespace) -> Iterator[Any]:
    yield _granted(client.decide(options.id, options.decision, options.reason))


def _reverse(client: Client, options: argparse.Namespace) -> Iterator[Any]:
    wish = {"kind": "void" if options.void else "refund", "reason": options.reason}
    if options.refund:
        wish["amount"] = options.refund
    key = options.key or str(uuid.uuid4())
    say(f"key {key}", sys.stderr)
    yield _granted(client.reverse(options.id, wish, key))


def _granted(reply: Reply) -> Any:
    """The body of a success. Raises ``Refused`` and ``NoAnswer``."""
    if reply.status < 300 and reply.body is not None:
        return reply.body
    if 400 <= reply.status < 500 and reply.status != 429 and reply.body is not None:
        faults = "; ".join(f"{each['field']}: {each['detail']}" for each in reply.body.get("errors", []))
        title = reply.body.get("title") or reply.body.get("message") or reply.body.get("Message")
        raise Refused(f"{title}{f' ({faults})' if faults else ''}")
    raise NoAnswer(f"status {reply.status}: give the same command again, a reversal with its --key")


def _line(answer: Any) -> str:
    """One transaction or amendment, and under it its history. Text of others is shown as JSON text, so that no control
    character reaches the terminal."""
    shown = [answer["created_at"], answer["transaction_id"], answer["status"], answer["amount"], answer["currency"]]
    if "kind" in answer:
        shown.insert(2, answer["kind"])
    if answer["left"] != answer["amount"] or "kind" in answer:
        shown.append(f"left {answer['left']}")
    if not answer.get("settled", True):
        shown.append("(being recorded: ask again)")
    shown += [f"{name} {answer[name]}" for name in ("customer_id", "merchant_id") if answer.get(name)]
    shown += answer.get("reasons", [])
    history = [
        f"  {each['number']}  {each['created_at']}  {each['kind']} by {each['party']}  {each['amount']}"
        f"  {each['status']}  {json.dumps(each['reason'])}"
        for each in answer.get("history", [])
    ]
    return "\n".join(["  ".join(shown), *history])


if __name__ == "__main__":
    sys.exit(main())
