"""Lambda handler of the migration: it works on one slice for each call, and answers where it stands.

``{"command": "load"}`` loads the next file of the full load, ``"file"`` names one, ``"again"`` begins it again.
``{"command": "follow"}`` applies the changes that wait; ``"columns"`` says what the columns of tables are from now on.
``{"command": "skip"}`` gives up the rest of a file for the ``reason`` that a person (``by``) gives.
``{"command": "status"}`` reads only. ``{"command": "compare"}`` gives digests of rows (``comparison.answer``), and
``{"command": "repair"}`` applies single rows (``repair.repair``). An event without a command is the schedule's, and
follows.

Each answer has a ``state``. ``busy``: another call works. ``idle``: there is nothing to do. ``reading``: call again.
``done``, ``refused``: the file is. ``waiting``: something must happen first, which ``reason`` says.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from aws_lambda_powertools.metrics import MetricUnit, single_metric

from lambdas.adapters import aws, configuration, database
from lambdas.adapters.history import DynamoHistory, PostgresKnown, S3ImportLog
from lambdas.adapters.stable import refuses_amendments
from lambdas.adapters.tracing import tracer
from lambdas.api.endpoint import logger
from lambdas.migration import comparison
from lambdas.migration.changes import Backlog, Follower, Waiting
from lambdas.migration.files import BEGIN, Name
from lambdas.migration.history import PaymentImport
from lambdas.migration.load import Loader
from lambdas.migration.objects import Bucket, Object
from lambdas.migration.pace import Pace
from lambdas.migration.payment_load import PAYMENTS, PaymentLoader, import_id
from lambdas.migration.repair import repair
from lambdas.migration.report import MOST_LISTED
from lambdas.migration.skipping import NotSkipped, skip
from lambdas.migration.state import DONE, READING, REFUSED, Progress, State
from lambdas.migration.tables import TABLES
from lambdas.payments.examination import utc_now

LAST_START_MS: Final = 300_000
"""No slice is begun with less time left: the end of a slice may merge a whole file."""
MOST_SHOWN: Final = 10
"""Rejected rows of each file in a status."""
MOST_FILES: Final = 500
"""Files in a status: those that are not done, then the newest. An answer has 6 MB at most (AWS Lambda quotas)."""
KEPT: Final = timedelta(days=7)
_ANSWER_SECONDS: Final = 780
_LOADED: Final = (*TABLES, PAYMENTS)
"""The tables in the order in which they are loaded: payments refer to customers and merchants."""

Event = Mapping[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a command works with."""

    connection: Any
    bucket: Bucket
    has_time: Callable[[], bool]

    @property
    def state(self) -> State:
        return State(self.connection)

    def delete_verified(self) -> set[str]:
        """Delete the files of which every row was taken, and return their keys. They hold card numbers. At each call,
        so that none is forgotten when a call dies between its commit and this."""
        verified = self.state.verified()
        found = [each for each in self.bucket.files() if verified.get(each.name.key) == each.etag]
        for each in found:
            self.bucket.delete(each)
        return {each.name.key for each in found}

    def payment_import(self, file: Object) -> PaymentImport:
        """Begins or goes on with the payments of ``file``."""
        return PaymentImport(
            DynamoHistory(_pace()),
            S3ImportLog(),
            PostgresKnown(self.connection),
            configuration.card_keys(),
            import_id=import_id(file),
            source=file.name.key,
            order="" if file.name.kind == "load" else file.name.order,
            clock=utc_now,
            check=_refuse_before_release,
        )

    @property
    def follower(self) -> Follower:
        return Follower(self.connection, self.bucket, self.has_time, self.payment_import)


def _refuse_before_release() -> None:
    """Raises ``Waiting`` while the stable version would give back imported payments, which their source does."""
    if os.environ.get("SOURCE_AMENDS") == "true" and not refuses_amendments(os.environ["STABLE_TRANSACTIONS"]):
        raise Waiting(
            "payments wait until the release is promoted that has the setting `migration`: the stable version of "
            '/transactions would give them back, although the old system still does (docs/migration.md, "Who gives '
            'money back")'
        )


@cache
def _pace() -> Pace:
    return Pace(float(os.environ["PAYMENTS_PER_SECOND"]))


@tracer.capture_lambda_handler(capture_response=False, capture_error=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: Event, context: Any) -> Answer:
    name = event.get("command", "follow")
    command = COMMANDS.get(name)
    if command is None:
        raise ValueError(f"no command {name!r}: {', '.join(COMMANDS)}")
    connection = database.connect(configuration.database_login(fresh=True), os.environ, timeout=_ANSWER_SECONDS)
    try:
        work = Work(
            connection=connection,
            bucket=Bucket(aws.patient_client("s3"), os.environ["MIGRATION_BUCKET"]),
            has_time=lambda: bool(context.get_remaining_time_in_millis() > LAST_START_MS),
        )
        answer = command(work, event)
    finally:
        connection.close()
    logger.info("migration", command=name, state=answer["state"], file=answer.get("file", ""))
    return answer


def _load(work: Work, event: Event) -> Answer:
    if not work.state.is_mine():
        return {"state": "busy"}
    file = _next_load(work, event.get("file"))
    if isinstance(file, dict):
        return file
    if event.get("again"):
        with work.state.transaction():
            work.state.forget(file.name.key)
    loader: Loader | PaymentLoader = Loader(work.connection, work.bucket, work.has_time)
    if file.name.table == PAYMENTS:
        loader = PaymentLoader(work.connection, work.bucket, work.has_time, work.payment_import)
    try:
        told = _told(loader.load(file))
    except Waiting as waiting:
        return {"state": "waiting", "file": file.name.key, "reason": str(waiting)}
    return told | {"deleted": file.name.key in work.delete_verified()}


def _next_load(work: Work, key: str | None) -> Object | Answer:
    states = work.state.states()
    found = [each for each in work.bucket.files(key or "") if each.name.kind == "load"]
    if key:
        named = [each for each in found if each.name.key == key]
        if not named:
            was = "it was read, and is deleted: export it again" if key in states else "there is no such file"
            return {"state": "waiting", "file": key, "reason": f"{was} (…/SCHEMA/TABLE/LOAD*.csv or .parquet)"}
        if named[0].name.table not in _LOADED:
            return {"state": "waiting", "file": key, "reason": f"the table {named[0].name.table} has no place here"}
        return named[0]
    order = {name: number for number, name in enumerate(_LOADED)}
    todo = [
        each
        for each in found
        if each.name.table in order and (states.get(each.name.key) not in ((DONE, each.etag), (REFUSED, each.etag)))
    ]
    return min(todo, key=lambda each: (order[each.name.table], each.name.order)) if todo else {"state": "idle"}


def _follow(work: Work, event: Event) -> Answer:
    if not work.state.is_mine():
        return {"state": "busy"}
    for source, columns in event.get("columns", {}).items():
        work.state.set_layout(source, columns)
    if "command" not in event:
        _delete_old(work)
    follower, last = work.follower, None
    try:
        while True:
            backlog = follower.backlog()
            _measure(backlog)
            follower.watch(backlog)
            pending = backlog.ready()
            # A command is told of each file. The schedule goes on.
            if not pending or (last and ("command" in event or last.state != DONE or not work.has_time())):
                break
            last = follower.apply(pending[0])
    except Waiting as waiting:
        return {"state": "waiting", "reason": str(waiting)}
    deleted = work.delete_verified()
    told = _told(last) | {"deleted": last.file.name.key in deleted} if last else {"state": "idle"}
    return told | _standing(work, backlog)


def _standing(work: Work, backlog: Backlog) -> Answer:
    return {
        "pending": len(backlog.files) + len(backlog.missing),
        "lag_seconds": backlog.lag_seconds(utc_now()),
        "watermark": work.state.watermark(),
    }


def _delete_old(work: Work) -> None:
    """What nobody deleted goes after ``KEPT``, because it may hold card numbers: but no file of a move before it was
    applied, or given up."""
    states = work.state.states()
    work.bucket.delete_old(
        utc_now() - KEPT, is_needed=lambda key, etag: Name.of(key) is not None and states.get(key) != (DONE, etag)
    )


def _skip(work: Work, event: Event) -> Answer:
    if not work.state.is_mine():
        return {"state": "busy"}
    try:
        skipped = skip(work.state, work.bucket, work.payment_import, event["file"], by=event["by"], why=event["reason"])
    except NotSkipped as error:
        return {"state": "waiting", "file": event["file"], "reason": str(error)}
    logger.warning("given up", file=event["file"], by=event["by"], reason=event["reason"])
    return _told(skipped)


def _status(work: Work, event: Event) -> Answer:
    states, files = work.state.states(), work.bucket.files()
    backlog = work.follower.backlog()
    gone = [each for each in work.state.gone([each.name.key for each in files]) if each.name.key not in backlog.missing]
    deleted, files = {each.name.key for each in gone}, sorted([*files, *gone], key=lambda each: each.place)
    done = deleted | {each.name.key for each in files if states.get(each.name.key) == (DONE, each.etag)}
    first = sorted(reversed(files), key=lambda each: each.name.key in done)[: event.get("files", MOST_FILES)]
    shown = {each.name.key for each in first}
    return {
        "files": [
            *(
                _shown(work.state.progress(each), each) | {"deleted": each.name.key in deleted}
                for each in files
                if each.name.key in shown
            ),
            *(_told(saved, most=MOST_SHOWN) | {"bytes": 0, "state": "missing"} for saved in _missing(work, backlog)),
        ],
        "more": len(files) - len(shown),
        **_standing(work, backlog),
        "state": "idle",
    }


def _shown(progress: Progress, file: Object) -> Answer:
    told = {"bytes": file.size, **_told(progress, most=MOST_SHOWN)}
    return told | ({"state": "waiting"} if progress.state == READING and progress.position == BEGIN else {})


def _missing(work: Work, backlog: Backlog) -> list[Progress]:
    return [saved for key in backlog.missing if (saved := work.state.saved(key))]


def _told(progress: Progress, most: int = MOST_LISTED) -> Answer:
    report = progress.to_json()
    report["rejected_rows"] = report["rejected_rows"][:most]
    return {"state": progress.state, "file": progress.file.name.key, "line": progress.position.line, "report": report}


def _measure(backlog: Backlog) -> None:
    lag = backlog.lag_seconds(utc_now())
    with single_metric(name="MigrationLagSeconds", unit=MetricUnit.Seconds, value=lag) as metric:
        metric.add_dimension(name="Environment", value=os.environ["ENVIRONMENT"])


def _compare(work: Work, event: Event) -> Answer:
    return {"state": "done", "answer": comparison.answer(work.connection, event)}


def _repair(work: Work, event: Event) -> Answer:
    if not work.state.is_mine():
        return {"state": "busy"}
    named = event.get("named", ())
    return {"state": "done", **repair(work.connection, work.state, event["table"], event["rows"], named)}


COMMANDS: Final[dict[str, Callable[[Work, Event], Answer]]] = {
    "load": _load, "follow": _follow, "skip": _skip, "status": _status, "compare": _compare, "repair": _repair,
}  # fmt: skip
