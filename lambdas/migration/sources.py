"""The files of a full load as rows, whatever their format is."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

from lambdas.migration import files
from lambdas.migration.files import BEGIN, Position, Row
from lambdas.migration.objects import Bucket, Object
from lambdas.migration.parquet import ParquetFile


class Source(Protocol):
    """A file of a full load. Its methods raise ``BadFile`` and ``FileChanged``."""

    def columns(self) -> list[str]:
        """Their names in lower case, with ``op`` if it is there."""

    def rows(self, start: Position, columns: Sequence[str]) -> Iterator[Row]:
        """The rows behind ``start``. ``columns``: those of the file."""


class _Csv:
    def __init__(self, bucket: Bucket, file: Object) -> None:
        self._bucket, self._file = bucket, file

    def columns(self) -> list[str]:
        return files.header(self._bucket.body(self._file, 0))

    def rows(self, start: Position, columns: Sequence[str]) -> Iterator[Row]:
        body = self._bucket.body(self._file, start.offset)
        return files.rows(body, start, columns if start != BEGIN else ())


class _Parquet:
    def __init__(self, bucket: Bucket, file: Object) -> None:
        self._file = ParquetFile(partial(bucket.part, file), file.size)

    def columns(self) -> list[str]:
        return self._file.columns()

    def rows(self, start: Position, columns: Sequence[str]) -> Iterator[Row]:
        return self._file.rows(start)


def source(bucket: Bucket, file: Object) -> Source:
    """``file`` as rows."""
    return _Parquet(bucket, file) if file.name.is_parquet else _Csv(bucket, file)
