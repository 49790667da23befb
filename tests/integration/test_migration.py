"""Another system's customers move to the deployed platform, pay there, and follow the changes of the old system."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from environments import DEV
from pipeline.aws import PlatformOutputs
from pipeline_app import create_app

from .conftest import Platform
from .merchant import PAYMENT

CUSTOMERS = "dms/public/customers/LOAD00000001.csv"
CHANGES = "dms/changes/CDC_TXN-2026112901020{n}000.csv"
HEADER = "Op,customer_id,status,country,allowed_currencies\n"
MOST_SECONDS = 90


@pytest.fixture(scope="module")
def moving(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The platform with the means of a move. They are taken away afterwards."""
    folder = tmp_path_factory.mktemp("moving")
    create_app(context={"environmentSuffix": DEV.name, "migration": "on"}, outdir=str(folder)).synth()
    [template] = folder.glob("*Platform*.template.json")
    platform.update_stack(json.loads(template.read_text()))
    stack = platform.client("cloudformation").describe_stacks(StackName=DEV.stack_name)["Stacks"][0]
    values = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    yield replace(platform, outputs=PlatformOutputs(stack_name=DEV.stack_name, values=values))
    platform.update_stack(platform.template())
    with pytest.raises(ClientError):
        platform.client("lambda").get_function(FunctionName="payment-migration-dev")


def put(moving: Platform, key: str, body: str) -> None:
    moving.client("s3").put_object(Bucket=moving.outputs["MigrationBucketName"], Key=key, Body=body.encode())


def reasons(moving: Platform, customer: str) -> list[str]:
    found: list[str] = moving.api().post("/validate", PAYMENT | {"customer_id": customer}).body["reasons"]
    return found


def test_customers_are_loaded_pay_and_follow_the_old_system(moving: Platform) -> None:
    # Given a full load in which one customer can't be
    put(moving, CUSTOMERS, HEADER + "I,moved-1,active,DE,EUR\nI,moved-2,active,DE,EUR\nI,moved-3,asleep,DE,EUR\n")
    assert reasons(moving, "moved-1") == ["customer_unknown"]
    # When it is loaded
    loaded = moving.run("migration", "load", "--env", "dev")
    # Then that one is named, and the others may pay
    assert loaded.returncode == 1, loaded.stdout + loaded.stderr
    assert "done at line 4: 3 read, 2 inserted, 1 rejected" in loaded.stdout
    assert "line 4: status is none of active, blocked, closed" in loaded.stdout
    assert reasons(moving, "moved-1") == reasons(moving, "moved-2") == []
    report = moving.client("s3").get_object(
        Bucket=moving.outputs["MigrationBucketName"], Key=f"{CUSTOMERS}.report.json"
    )
    assert json.loads(report["Body"].read())["inserted"] == 2
    # When the old system changes them, and the command applies it now
    put(moving, CHANGES.format(n=1), "U,customers,public,moved-1,blocked,DE,EUR\nD,customers,public,moved-2,,,\n")
    followed = moving.run("migration", "follow", "--env", "dev")
    # Then they are decided by their new state
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert reasons(moving, "moved-1") == ["customer_not_active"]
    assert reasons(moving, "moved-2") == ["customer_unknown"]
    # When it changes again, and nobody gives a command
    put(moving, CHANGES.format(n=2), "U,customers,public,moved-1,active,DE,EUR\n")
    # Then the schedule applies it
    ends = time.monotonic() + MOST_SECONDS
    while reasons(moving, "moved-1") and time.monotonic() < ends:
        time.sleep(1)
    assert reasons(moving, "moved-1") == []
    # And the status says so
    status = moving.run("migration", "status", "--env", "dev", "--json")
    told = json.loads(status.stdout)
    assert (told["pending"], told["watermark"]) == (0, {"file": CHANGES.format(n=2), "line": 1})
