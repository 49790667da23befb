"""The keys of card fingerprints: one secret that holds a few versions. All are read, the newest is written.

A card has another fingerprint under each version, and must still be counted as one card. So a new version counts from
the moment it exists, beside the older ones, and decides only when it has counted for longer than any window. Until then
the older one decides, which every function knows, also one that has not read the new version yet. See docs/payments.md.
"""

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, NamedTuple

from lambdas.payments.velocity import DAY, KEPT_SECONDS

OVERLAP: Final = 2 * DAY
"""A version decides when it is this old: the longest window of a rule for cards (a day), and time to become known."""

_LEAST: Final = 32
_PLAIN: Final = re.compile(r"[0-9A-Za-z]{64}")
"""A secret that was never rotated, as the template makes it: one key, which is version 1."""


class Version(NamedTuple):
    """One version of the key."""

    number: int
    key: bytes
    since: int
    """When it became the newest, in seconds since 1970. 0 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardKeys:
    """The versions, oldest first, and the key of the transactions' ids, which stays the same."""

    versions: tuple[Version, ...]
    ids_key: bytes
    ids_keyed: bool
    """Whether new transactions get keyed ids: from the first rotation on. A release from before could not find them."""

    @classmethod
    def parse(cls, text: str) -> "CardKeys":
        """Read the secret. Raises ``ValueError``, which quotes nothing of it."""
        if _PLAIN.fullmatch(text):
            return cls.of_one(text.encode())
        try:
            document = json.loads(text)
            versions = tuple(
                Version(int(each["version"]), str(each["key"]).encode(), int(each["since"]))
                for each in document["keys"]
            )
            ids_key = str(document["transaction_ids"]).encode()
        except (ValueError, KeyError, TypeError):
            raise ValueError("the card keys are neither 64 letters and digits nor a set of versions") from None
        if not versions or any(one.number >= two.number or one.since > two.since for one, two in pairwise(versions)):
            raise ValueError("the card keys' versions do not ascend")
        if len({each.key for each in versions}) < len(versions):
            raise ValueError("two versions of the card keys are the same")
        if min(map(len, [ids_key, *(each.key for each in versions)])) < _LEAST:
            raise ValueError(f"a card key has fewer than {_LEAST} characters")
        return cls(versions=versions, ids_key=ids_key, ids_keyed=True)

    @classmethod
    def of_one(cls, key: bytes) -> "CardKeys":
        """A secret that was never rotated."""
        ids_key = hmac.digest(key, b"transaction ids", "sha256").hex().encode()
        return cls(versions=(Version(1, key, 0),), ids_key=ids_key, ids_keyed=False)

    def to_json(self) -> str:
        """The text that ``parse`` reads."""
        keys = [{"version": each.number, "key": each.key.decode(), "since": each.since} for each in self.versions]
        return json.dumps({"keys": keys, "transaction_ids": self.ids_key.decode()})

    @property
    def newest(self) -> Version:
        """The version that is written."""
        return self.versions[-1]

    def version(self, number: int) -> Version | None:
        return next((each for each in self.versions if each.number == number), None)

    def has_dropped(self, number: int) -> bool:
        """Whether this version was dropped because it is old."""
        return number < self.versions[0].number

    def counted(self, moment: int) -> tuple[Version, ...]:
        """The versions under which a card is counted at ``moment``, oldest first. The first one decides."""
        old_enough = [place for place, each in enumerate(self.versions) if each.since <= moment - OVERLAP]
        return self.versions[max(old_enough, default=0) :]

    def rotated(self, key: str, now: int) -> "CardKeys":
        """With ``key`` as the newest version, and without those that were replaced so long ago that nothing which was
        counted under them is left."""
        kept = [each for each, follower in pairwise(self.versions) if follower.since > now - KEPT_SECONDS]
        added = Version(self.newest.number + 1, key.encode(), now)
        return CardKeys(versions=(*kept, self.newest, added), ids_key=self.ids_key, ids_keyed=True)

    def follows(self, earlier: "CardKeys") -> bool:
        """Whether this may replace ``earlier``: no version has another key, and none was taken back."""
        keys: Mapping[int, Any] = {each.number: each.key for each in earlier.versions}
        unchanged = all(keys.get(each.number, each.key) == each.key for each in self.versions)
        return unchanged and self.ids_key == earlier.ids_key and self.newest.number >= earlier.newest.number
