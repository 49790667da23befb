"""The state of a local cloud's database, and its fail-over: the same calls of RDS's APIs as on AWS."""

import time
from dataclasses import dataclass

from localcloud.cloud import LocalCloud, LocalCloudError

WAIT_SECONDS = 60


@dataclass(frozen=True)
class Database:
    """``status``: RDS's, ``available``, ``failing-over`` or ``failed``. ``writer``: the instance that takes writes."""

    cluster: str
    status: str
    writer: str


def database(cloud: LocalCloud) -> Database | None:
    """The database of a running local cloud; ``None`` when none is deployed."""
    clusters = cloud.client("rds").describe_db_clusters()["DBClusters"]
    if not clusters:
        return None
    [cluster] = clusters
    writers = [each["DBInstanceIdentifier"] for each in cluster["DBClusterMembers"] if each["IsClusterWriter"]]
    return Database(cluster["DBClusterIdentifier"], cluster["Status"], next(iter(writers), "none"))


def fail_over(cloud: LocalCloud) -> tuple[Database, float]:
    """Make a reader the writer, and wait until the database is available: its new state, and the seconds that it took.

    Raises ``LocalCloudError`` when no database is deployed, when it can't fail over, or when it does not come back.
    """
    before = database(cloud)
    if before is None:
        raise LocalCloudError(f"the local cloud {cloud.name} has no database: deploy the environment first")
    rds = cloud.client("rds")
    started = time.monotonic()
    try:
        rds.failover_db_cluster(DBClusterIdentifier=before.cluster)
    except rds.exceptions.InvalidDBClusterStateFault as error:
        raise LocalCloudError(str(error)) from error
    while time.monotonic() - started < WAIT_SECONDS:
        after = database(cloud)
        if after is not None and after.status == "available":
            return after, time.monotonic() - started
        time.sleep(0.2)
    raise LocalCloudError(f"the database of {cloud.name} is not available {WAIT_SECONDS} s later: see {cloud.log_path}")
