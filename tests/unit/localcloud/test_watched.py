"""Template properties that remember which of them a handler has read."""

import copy
import json

from localcloud.emulator.watched import Watched


def properties() -> Watched:
    return Watched(
        {
            "Name": "payments",
            "Encryption": {"Enabled": True, "KeyId": "key"},
            "Rules": [{"Id": "one", "Days": 1}, {"Id": "two", "Prefix": "p/"}],
            "Tags": [],
        }
    )


def test_nothing_is_read_at_first() -> None:
    assert properties().unread() == ["Encryption", "Name", "Rules", "Tags"]


def test_a_property_that_a_handler_took_is_read_and_the_ones_left_inside_it_are_not() -> None:
    given = properties()

    given.get("Name")
    _ = given["Encryption"]["Enabled"]
    for rule in given["Rules"]:
        rule.get("Id")

    assert given.unread() == ["Encryption.KeyId", "Rules.Days", "Rules.Prefix", "Tags"]


def test_asking_for_a_missing_property_reads_no_other() -> None:
    given = Watched({"Name": "payments"})

    assert given.get("Absent") is None
    assert given.unread() == ["Name"]


def test_iterating_reads_every_property() -> None:
    for iterate in (json.dumps, dict, copy.deepcopy, lambda given: [*given.items()]):
        given = Watched({"Name": "payments"})
        iterate(given)
        assert given.unread() == []


def test_it_is_equal_to_the_plain_properties() -> None:
    assert properties()["Encryption"] == {"Enabled": True, "KeyId": "key"}
