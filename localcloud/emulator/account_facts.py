"""What the preflight asks of an account, and MiniStack answers as no account of AWS would.

Zone ``c`` of us-east-1 is not ``use1-az3`` here, where API Gateway has no VPC links: zones' letters differ by account.
RDS offers the serverless class of Aurora PostgreSQL, in the version that runs here.
"""

import re
from typing import Any

from ministack.services import ec2, rds

from localcloud import postgres
from localcloud.emulator.upstream import Function, replaces

SERVERLESS = "db.serverless"


@replaces(ec2, "_az_id_for_zone_name")
def zone_id(find: Function, zone_name: str) -> str:
    return "use1-az4" if zone_name == "us-east-1c" else str(find(zone_name))


@replaces(rds, "_describe_orderable_options")
def orderable(describe: Function, params: Any) -> Any:
    """MiniStack knows neither the class nor the versions of PostgreSQL 18. The one that runs here is offered."""
    asked = {name: rds._p(params, name) for name in ("Engine", "EngineVersion", "DBInstanceClass")}
    if (asked["Engine"], asked["DBInstanceClass"]) != ("aurora-postgresql", SERVERLESS):
        return describe(params)
    version = asked["EngineVersion"]
    if version and version.split(".")[0] != postgres.version().split(".")[0]:
        return describe(params)
    like = "db.r5.large"
    status, headers, body = describe({**params, "DBInstanceClass": [like], "EngineVersion": [""]})
    text = body.decode().replace(like, SERVERLESS)
    return status, headers, re.sub("<EngineVersion>[^<]*", f"<EngineVersion>{version}", text).encode()


rds._ACTION_MAP["DescribeOrderableDBInstanceOptions"] = rds._describe_orderable_options
