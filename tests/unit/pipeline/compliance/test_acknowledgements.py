"""The table of acknowledged findings: its meaning, and its errors."""

from datetime import date
from pathlib import Path

import pytest

from names import PIPELINE as STACK_NAME
from names import REGIONAL_ARTIFACTS
from pipeline.compliance.acknowledgements import PLATFORM, MalformedAcknowledgements, claims, load

OWNERS = 'owners = ["platform"]'
ENTRY = """
[[acknowledgement]]
constructs = ["Platform/Api/{environment}"]
findings = ["AwsSolutions::AwsSolutions-IAM5[Resource::*]"]
reason = "There is no resource\\n to name for this action."
owner = "platform"
expires = 2030-01-31
"""
GOOD = OWNERS + ENTRY


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "acknowledgements.toml"


def test_an_entry_covers_every_environment(table: Path) -> None:
    table.write_text(GOOD)
    [entry] = load(table)
    assert (entry.line, entry.owner, entry.expires) == (2, "platform", date(2030, 1, 31))
    assert entry.reason == "There is no resource to name for this action."
    assert list(entry.pairs_in("prod")) == [("AwsSolutions::AwsSolutions-IAM5[Resource::*]", "Platform/Api/prod")]
    assert [entry.covers(name) for name in ("dev", "staging", "prod", "pr42")] == [True] * 4


def test_an_entry_for_dev_covers_ephemeral_environments_too(table: Path) -> None:
    table.write_text(GOOD + 'environments = ["dev"]\n')
    assert [load(table)[0].covers(name) for name in ("dev", "prod", "pr42")] == [True, False, True]
    table.write_text(GOOD + 'environments = ["prod"]\n')
    assert [load(table)[0].covers(name) for name in ("dev", "prod", "pr42")] == [False, True, False]


def test_each_finding_is_acknowledged_at_each_construct(table: Path) -> None:
    two_by_two = GOOD.replace('["Platform/Api/{environment}"]', '["a", "b"]').replace('*]"]', '*]", "Pack::Rule"]')
    table.write_text(two_by_two)
    [entry] = load(table)
    assert len(list(entry.pairs())) == 4


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("expires = 2030-01-31", "", "acknowledgements.toml:2: missing expires"),
        ("expires = 2030-01-31", 'expires = "2030-01-31"', "acknowledgements.toml:2: expires must be a date"),
        ("owner =", "ower =", "acknowledgements.toml:2: missing owner"),
        ("owner =", "ower = 'x'\nowner =", "acknowledgements.toml:2: unknown ower"),
        ('owner = "platform"', 'owner = "me"', "acknowledgements.toml:2: unknown owner 'me'. Known: platform "),
        (OWNERS, "", "acknowledgements.toml:2: unknown owner 'platform'"),
        (OWNERS, "owners = 'platform'", "acknowledgements.toml: owners must be a list of names"),
        (OWNERS, "owners = ['']", "acknowledgements.toml: owners must be a list of names"),
        ("There is no resource\\n to name for this action.", "wontfix", "is too short"),
        ("AwsSolutions::AwsSolutions-IAM5", "AwsSolutions-IAM5", "is not a long id"),
        ('owner = "platform"', 'owner = "platform"\nenvironments = ["production"]', "unknown environment production"),
        (
            'owner = "platform"',
            'owner = "platform"\npart = "Dev/Platform"',
            "part 'Dev/Platform' is not inside Platform",
        ),
        ("[[acknowledgement]]", "[[acknowledgment]]", "unknown table acknowledgment"),
        ("[[acknowledgement]]", "[[acknowledgement]", "is not TOML"),
        ('["Platform/Api/{environment}"]', "[]", "constructs must be a list that is not empty"),
        ('["Platform/Api/{environment}"]', "[1]", "constructs must be a list of texts"),
        ('IAM5[Resource::*]"]', "IAM5[Resource::*]\", ['x']]", "findings must be a list of texts"),
        ('owner = "platform"', 'owner = "platform"\nenvironments = 5', "environments must be a list of texts"),
        ('owner = "platform"', 'owner = "platform"\nenvironments = [["dev"]]', "environments must be a list of texts"),
        ("expires = 2030-01-31", "expires = 2030-01-31T00:00:00", "expires must be a date"),
        ("expires = 2030-01-31", "expires = 2030-13-45", "is not TOML"),
    ],
)
def test_a_malformed_table_is_refused_with_place_and_fault(table: Path, before: str, after: str, message: str) -> None:
    table.write_text(GOOD.replace(before, after))
    with pytest.raises(MalformedAcknowledgements, match=message):
        load(table)


def test_a_second_acknowledgement_of_the_same_finding_is_refused(table: Path) -> None:
    table.write_text(GOOD + ENTRY)
    with pytest.raises(MalformedAcknowledgements, match="acknowledged 2 times"):
        load(table)


def test_the_projects_own_table_names_platforms_and_the_pipeline_only() -> None:
    # An entry under another name would belong to no app, and nothing would report it as stale.
    named = {construct.split("/")[0] for entry in load() for construct in entry.constructs}
    assert named == {PLATFORM, STACK_NAME, f"{REGIONAL_ARTIFACTS}{{region}}"}


def test_an_entry_about_other_regions_covers_each_of_them_or_nothing_if_there_are_none(
    table: Path,
) -> None:
    table.write_text(
        GOOD.replace("Platform/Api/{environment}", REGIONAL_ARTIFACTS + "{region}/Key").replace("*]", "{region}]")
    )

    def claimed(*top: str) -> list[tuple[str, str]]:
        found = claims(load(table), top=top, stages=[], exists=lambda path: True)
        return [(each.finding.partition("[")[2], each.path) for each in found]

    assert claimed("payment-pipeline") == []
    assert claimed("payment-pipeline", f"{REGIONAL_ARTIFACTS}eu-west-1", f"{REGIONAL_ARTIFACTS}us-east-2") == [
        ("Resource::eu-west-1]", f"{REGIONAL_ARTIFACTS}eu-west-1/Key"),
        ("Resource::us-east-2]", f"{REGIONAL_ARTIFACTS}us-east-2/Key"),
    ]
