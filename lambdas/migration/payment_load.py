"""Loads a file of payments in slices. A ledger takes each payment for itself, so a slice is in the ledger before the
position behind it is committed: who goes on after a kill finds what is there already (``history``)."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

from lambdas.migration.files import BEGIN, BadFile, Row
from lambdas.migration.history import PaymentImport
from lambdas.migration.objects import Bucket, FileChanged, Object
from lambdas.migration.payments import OPTIONAL, REQUIRED
from lambdas.migration.report import Report
from lambdas.migration.sources import Source, source
from lambdas.migration.state import DONE, READING, REFUSED, Progress, State

PAYMENTS: Final = "payments"
"""The table of payments. It is no table of the database."""
SLICE_ROWS: Final = 10_000

Importer = Callable[[Object], PaymentImport]
"""Begins or goes on with the import of a file."""


def import_id(file: Object) -> str:
    """The same for each attempt at this content of the file."""
    return "imp_" + hashlib.sha256(f"{file.name.key} {file.etag}".encode()).hexdigest()[:32]


def leave_former(state: State, importer: Importer, file: Object) -> None:
    """Give up the import of what was under the key of ``file`` before, if it was not ended. Raises ``Unavailable``."""
    former = state.saved(file.name.key)
    if former and former.file.etag != file.etag and former.state != DONE:
        importer(former.file).give_up(former.report, former.position.line)


class PaymentLoader:
    """``has_time``: whether there is time left to begin another slice."""

    def __init__(self, connection: Any, bucket: Bucket, has_time: Callable[[], bool], importer: Importer) -> None:
        self._state = State(connection)
        self._bucket = bucket
        self._has_time = has_time
        self._importer = importer

    def load(self, file: Object) -> Progress:
        """Load ``file`` until it is done or refused, or there is no time left. Raises ``Unavailable``.

        A file that is refused in its middle stays loaded up to there: each payment is right by itself.
        """
        leave_former(self._state, self._importer, file)
        progress, importing, rows = self._state.progress(file), self._importer(file), source(self._bucket, file)
        if progress.position == BEGIN and progress.state == READING:
            with self._state.transaction():  # a run that dies in its first slice is known
                self._state.save(progress)
        try:
            while progress.state == READING and self._has_time():
                self._slice(progress, importing, rows)
        except FileChanged:
            progress = Progress(file=file)  # the next call begins again with what is there then
        if progress.state != READING:
            self._bucket.put_report(file.name.key, progress.to_json())
        return progress

    def _slice(self, progress: Progress, importing: PaymentImport, rows: Source) -> None:
        before, broken = progress.position, list[BadFile]()
        importing.apply(_taken(rows, progress, broken), progress.report)
        if broken:
            progress.state, progress.report.fault = REFUSED, str(broken[0])
            importing.end(progress.report)
        elif progress.position in (before, BEGIN) or progress.position.offset >= progress.file.size:
            if not progress.report.read:
                progress.report.note("the file has a header and no rows")
            importing.end(progress.report)
            progress.state = DONE
        with self._state.transaction():
            if progress.state == DONE:
                name = progress.file.name
                columns = [each for each in progress.columns if each != "op"]
                self._state.set_layout(f"{name.schema}.{name.table}".lower(), columns)
            self._state.save(progress)


def _taken(rows: Source, progress: Progress, broken: list[BadFile]) -> Iterator[Row]:
    """The rows of a slice. What comes before a fault of the file is imported; the fault goes to ``broken``."""
    try:
        if not progress.columns:
            header = rows.columns()
            _check_columns(header, progress.report)
            # Only now: without a header, the first line would be a payment, and is kept nowhere.
            progress.columns = header
        for row in islice(rows.rows(progress.position, progress.columns), SLICE_ROWS):
            progress.position = row.after
            yield row
    except BadFile as error:
        broken.append(error)


def _check_columns(header: Sequence[str], report: Report) -> None:
    if missing := [name for name in REQUIRED if name not in header]:
        raise BadFile(f"the header lacks the column {', '.join(missing)}")
    if ignored := [name for name in header if name not in (*REQUIRED, *OPTIONAL, "op")]:
        report.note(f"columns without a place here, which were left out: {', '.join(ignored)}")
