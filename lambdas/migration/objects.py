"""The bucket of the migration: files of the old system, and a report beside each."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lambdas.migration.files import Name

_CHUNK_BYTES: Final = 1 << 20
REPORT: Final = ".report.json"


class FileChanged(Exception):
    """The object is another one than when reading began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """A file in the bucket. ``etag`` changes with its content."""

    name: Name
    etag: str
    size: int
    arrived_at: datetime

    @property
    def place(self) -> tuple[str, ...]:
        """Files are listed in this order."""
        return self.name.schema, self.name.table, self.name.order, self.name.key


class Bucket:
    """``s3``: a client that waits for a slow answer."""

    def __init__(self, s3: Any, name: str) -> None:
        self._s3 = s3
        self._name = name

    def files(self, prefix: str = "") -> list[Object]:
        """The files of a move, in the order in which they are to be read; each other object is left out."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix=prefix)
        found = [
            Object(name=name, etag=each["ETag"], size=each["Size"], arrived_at=each["LastModified"])
            for page in pages
            for each in page.get("Contents", [])
            if (name := Name.of(each["Key"]))
        ]
        return sorted(found, key=lambda each: each.place)

    def body(self, file: Object, offset: int) -> Iterator[bytes]:
        """The file's bytes from ``offset`` on. Raises ``FileChanged``."""
        if offset < file.size:
            yield from self._read(file, f"bytes={offset}-").iter_chunks(_CHUNK_BYTES)

    def part(self, file: Object, offset: int, number: int) -> bytes:
        """So many of the file's bytes from ``offset`` on. Raises ``FileChanged``."""
        if not number:
            return b""
        return b"".join(self._read(file, f"bytes={offset}-{offset + number - 1}").iter_chunks(_CHUNK_BYTES))

    def _read(self, file: Object, part: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            answer = self._s3.get_object(Bucket=self._name, Key=file.name.key, Range=part, IfMatch=file.etag)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412", "NoSuchKey", "InvalidRange"):
                raise FileChanged(file.name.key) from error
            raise
        return answer["Body"]

    def delete(self, file: Object) -> None:
        """Delete the file, with each earlier content of its key. What has come since stays. May be repeated."""
        obsolete = False
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._name, Prefix=file.name.key)
        for version in [each for page in pages for each in page.get("Versions", [])]:  # of a key, the newest first
            if version["Key"] != file.name.key:
                continue
            obsolete = obsolete or version["ETag"] == file.etag
            if obsolete:
                self._s3.delete_object(Bucket=self._name, Key=file.name.key, VersionId=version["VersionId"])

    def delete_old(self, before: datetime, is_needed: Callable[[str, str], bool]) -> None:
        """Delete what arrived before ``before``, except reports and what is needed: by key and etag."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._name, Prefix="")
        for each in (each for page in pages for each in page.get("Contents", [])):
            key = each["Key"]
            if each["LastModified"] < before and not key.endswith(REPORT) and not is_needed(key, each["ETag"]):
                self._s3.delete_object(Bucket=self._name, Key=key)

    def put_report(self, key: str, report: Mapping[str, Any]) -> None:
        """Write ``<key>.report.json``."""
        body = json.dumps(report, indent=2, ensure_ascii=False)
        self._s3.put_object(Bucket=self._name, Key=f"{key}{REPORT}", Body=body.encode(), ContentType="application/json")
