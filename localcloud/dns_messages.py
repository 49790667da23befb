"""Questions and answers of the DNS, as far as a name that leads to another name needs them (RFC 1035)."""

import struct
from dataclasses import dataclass

HEADER = struct.Struct("!6H")
CNAME, INTERNET = 5, 1
IS_ANSWER, IS_AUTHORITY, RECURSION_DESIRED = 0x8000, 0x0400, 0x0100
NO_SUCH_NAME = 3
"""The response code ``NXDOMAIN``."""
TO_THE_QUESTION = b"\xc0\x0c"
"""A pointer to the name in the question, which stands behind the header."""


@dataclass(frozen=True)
class Question:
    """What a client asks for."""

    id: int
    name: str
    """In lower case, without the last dot."""
    type: int
    raw: bytes
    """The question's section, which an answer repeats."""


@dataclass(frozen=True)
class Answer:
    """Where a name leads to. ``None``: there is no such name."""

    target: str | None
    ttl: int = 0
    """In seconds."""


def question(id: int, name: str) -> bytes:
    """The message that asks where ``name`` leads to."""
    return HEADER.pack(id, RECURSION_DESIRED, 1, 0, 0, 0) + _written(name) + struct.pack("!2H", CNAME, INTERNET)


def read_question(message: bytes) -> Question:
    """Raises ``ValueError`` for what is no question."""
    try:
        id, flags, questions, *_ = HEADER.unpack_from(message)
        if flags & IS_ANSWER or questions != 1:
            raise ValueError("no message with one question")
        name, end = _read(message, HEADER.size)
        type, _ = struct.unpack_from("!2H", message, end)
    except (struct.error, IndexError, UnicodeError) as error:
        raise ValueError(f"a broken message: {error}") from error
    return Question(id=id, name=name.lower(), type=type, raw=message[HEADER.size : end + 4])


def answer(asked: Question, found: Answer) -> bytes:
    """The message that answers ``asked``."""
    flags = IS_ANSWER | IS_AUTHORITY | (NO_SUCH_NAME if found.target is None else 0)
    message = HEADER.pack(asked.id, flags, 1, int(found.target is not None), 0, 0) + asked.raw
    if found.target is None:
        return message
    target = _written(found.target)
    return message + TO_THE_QUESTION + struct.pack("!2HIH", CNAME, INTERNET, found.ttl, len(target)) + target


def read_answer(message: bytes) -> Answer:
    """The first record of an answer. Raises ``ValueError`` for what is none."""
    try:
        _, flags, _, answers, _, _ = HEADER.unpack_from(message)
        if not flags & IS_ANSWER:
            raise ValueError("no answer")
        if not answers:
            return Answer(target=None)
        _, end = _read(message, HEADER.size)
        record = end + 4 + len(TO_THE_QUESTION)
        _, _, ttl, _ = struct.unpack_from("!2HIH", message, record)
        target, _ = _read(message, record + 10)
    except (struct.error, IndexError, UnicodeError) as error:
        raise ValueError(f"a broken message: {error}") from error
    return Answer(target=target, ttl=ttl)


def _written(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"no name: {name!r}")
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def _read(message: bytes, at: int) -> tuple[str, int]:
    """The name at ``at``, and where it ends."""
    labels = []
    while length := message[at]:
        if length >= 64:
            raise ValueError("a pointer within a name")
        labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 1
