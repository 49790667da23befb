"""Items of DynamoDB share what many of them have, and stay equal to what was written."""

import json

from localcloud.emulator.compact_items import compact

WRITTEN = json.dumps(
    {"status": {"S": "approved"}, "minor": {"N": "1250"}, "reasons": {"L": [{"S": "x"}]}, "id": {"S": "f" * 64}}
)


def test_an_item_is_what_was_written() -> None:
    assert compact(json.loads(WRITTEN)) == json.loads(WRITTEN)


def test_items_share_names_and_common_values() -> None:
    one, other = compact(json.loads(WRITTEN)), compact(json.loads(WRITTEN))

    assert all(mine is other_name for mine, other_name in zip(one, other, strict=True))
    assert one["status"] is other["status"]
    assert one["reasons"] is not other["reasons"], "a list may be changed"
