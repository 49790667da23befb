"""Aurora PostgreSQL as a real PostgreSQL server, one for each local cloud.

The cluster's writer endpoint and reader endpoint both lead to this server. A master password that RDS manages becomes
a secret, as on AWS. RDS's APIs state whether the server is available.
"""

import atexit
import contextlib
import json
import logging
import os
import queue
import secrets
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import rds, secretsmanager
from ministack.services.cloudformation import provisioners

from localcloud import postgres
from localcloud.emulator.own_api import settings
from localcloud.emulator.properties import Attributes, after_write
from localcloud.emulator.reachability import VPC_PORT, database_admits
from localcloud.emulator.upstream import Function, replaces

logger = logging.getLogger(__name__)

CLUSTER = "AWS::RDS::DBCluster"

FAILOVER_SECONDS = 10.0
"""How long a fail-over takes. Aurora's takes usually less than 60 s, often less than 30 s (Aurora User Guide, "High
availability for Amazon Aurora")."""


class Server:
    """The process that runs PostgreSQL (see :mod:`localcloud.database`). The first cluster starts it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._asking = threading.Lock()
        self._writing = threading.Lock()
        self._answers: queue.Queue[Any] = queue.Queue()
        self.port = 0

    def ensure_database(self, user: str, password: str, database: str) -> None:
        """Raises ``ValueError`` with the reason when PostgreSQL does not start or refuses. The deployment fails."""
        with self._asking:
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._ask({"user": user, "password": password, "database": database})

    def fail_over(self, seconds: float) -> None:
        """Begin to refuse clients for ``seconds``, and end their connections. Raises ``ValueError`` as above."""
        with self._asking:
            self._ask({"fail_over": seconds})

    def stop(self) -> None:
        with self._asking:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()
                process.wait()

    def _start(self) -> None:
        own = settings()
        self._answers = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "localcloud.database"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(self._process, self._answers), daemon=True).start()
        files = {"certificate": str(own.tls / "server.pem"), "key": str(own.tls / "server.key")}
        self.port = self._ask({"folder": str(Path(own.folder) / "postgres"), **files})["port"]

    def _ask(self, question: dict[str, Any]) -> Any:
        self._write(question)
        content = self._answers.get()
        if "error" in content:
            raise ValueError(f"PostgreSQL: {content['error']}")
        return content

    def _write(self, message: dict[str, Any]) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with self._writing, contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(message) + "\n")
                process.stdin.flush()

    def _listen(self, process: "subprocess.Popen[str]", answers: "queue.Queue[Any]") -> None:
        """Take what the process writes, until it ends."""
        for line in process.stdout or ():
            message = json.loads(line)
            if "client" in message:
                self._write({**message, "admitted": _admits(message["client"])})
            elif "status" in message:
                _set_status(message["status"])
            else:
                answers.put(message)
        answers.put({"error": "its process ended"})
        if process is self._process:  # it was not stopped
            _set_status("failed")


server = Server()
atexit.register(server.stop)


@after_write(CLUSTER)
def serve_cluster(cluster_id: str, props: Any) -> Attributes:
    cluster = rds._clusters[cluster_id]
    if cluster["Engine"] != "aurora-postgresql":
        raise ValueError(f"engine {cluster['Engine']}: the local cloud runs aurora-postgresql only")
    wanted, have = str(cluster["EngineVersion"]), postgres.version()
    if wanted.partition(".")[0] != have.partition(".")[0]:
        raise ValueError(f"the template has PostgreSQL {wanted}: the local cloud runs {have}, another major version")
    user = props.get("MasterUsername") or "postgres"
    if provisioners._cfn_bool(props.get("ManageMasterUserPassword", False)):
        password = _managed_password(cluster, user, (props.get("MasterUserSecret") or {}).get("KmsKeyId"))
    else:
        password = str(props["MasterUserPassword"])
    server.ensure_database(user, password, props.get("DatabaseName") or "postgres")
    declared = {VPC_PORT: int(props.get("Port") or 5432)}
    cluster.update(Endpoint="127.0.0.1", ReaderEndpoint="127.0.0.1", Port=server.port, **declared)
    return provisioners._rds_db_cluster_attrs(cluster)  # type: ignore[no-any-return]


def _managed_password(cluster: Any, user: str, key: str | None) -> str:
    """The password in the secret that RDS manages for the cluster. The first write creates the secret."""
    known = cluster.get("MasterUserSecret")
    if known:
        return str(json.loads(secretsmanager.resolve_secret_string(known["SecretArn"]))["password"])
    password = secrets.token_urlsafe(24)
    arn = secretsmanager.create_secret_in_process(
        f"rds!cluster-{new_uuid()}", json.dumps({"username": user, "password": password}), "Managed by RDS"
    )
    cluster["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active", "KmsKeyId": key}
    return password


@replaces(provisioners, "_rds_db_cluster_attrs")
def cluster_attributes(attributes: Function, cluster: Any) -> Any:
    found = attributes(cluster)
    managed = cluster.get("MasterUserSecret")
    return {**found, "MasterUserSecret.SecretArn": managed["SecretArn"]} if managed else found


@after_write("AWS::RDS::DBInstance")
def write_by_the_first_instance_only(_: str, props: Any) -> None:
    """MiniStack takes each instance of a template for a writer."""
    members = rds._clusters.get(props.get("DBClusterIdentifier"), {}).get("DBClusterMembers", [])
    writers = [member for member in members if member["IsClusterWriter"]]
    for reader in writers[1:]:
        reader["IsClusterWriter"] = False


def _admits(client_port: int) -> bool:
    try:
        return database_admits(client_port)
    except Exception:
        logger.exception(
            "the connection from port %s is refused, because the network could not be looked at", client_port
        )
        return False


def _set_status(status: str) -> None:
    """Give all clusters and their instances the server's state: ``available``, ``failing-over`` or ``failed``."""
    logger.warning("database: %s", status)
    for _, cluster in rds._clusters.all_items():
        cluster["Status"] = status
    for _, instance in rds._instances.all_items():
        instance["DBInstanceStatus"] = "rebooting" if status == "failing-over" else status


@replaces(rds, "_failover_db_cluster_impl")
def fail_over(promote: Function, params: Any) -> Any:
    """Promote a reader, and end every connection of the one server: each instance has a new role, or has restarted."""
    response, later = promote(params)
    if response is not None and response[0] == 200:
        server.fail_over(FAILOVER_SECONDS)
    return response, later


def delete_cluster(cluster_id: str, props: Any) -> None:
    """Delete the cluster, and the secret that RDS manages for it."""
    managed = rds._clusters.get(cluster_id, {}).get("MasterUserSecret")
    _delete_cluster(cluster_id, props)
    if managed:
        secretsmanager.delete_secret_in_process(managed["SecretArn"])


_delete_cluster = provisioners._RESOURCE_HANDLERS[CLUSTER]["delete"]
provisioners._RESOURCE_HANDLERS[CLUSTER]["delete"] = delete_cluster
