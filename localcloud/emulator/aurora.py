"""Aurora PostgreSQL as a real PostgreSQL server, one for each local cloud.

The cluster's writer endpoint and reader endpoint both lead to this server. A master password that RDS manages becomes
a secret, as on AWS.
"""

import atexit
import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import rds, secretsmanager
from ministack.services.cloudformation import provisioners

from localcloud import postgres
from localcloud.emulator.own_api import settings
from localcloud.emulator.properties import Attributes, after_write
from localcloud.emulator.upstream import Function, replaces

CLUSTER = "AWS::RDS::DBCluster"


class Server:
    """The process that runs PostgreSQL (see :mod:`localcloud.database`). The first cluster starts it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.port = 0

    def ensure_database(self, user: str, password: str, database: str) -> None:
        """Raises ``ValueError`` with the reason when PostgreSQL does not start or refuses. The deployment fails."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            self._ask({"user": user, "password": password, "database": database})

    def stop(self) -> None:
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
                self._process.wait()
            self._process = None

    def _start(self) -> None:
        own = settings()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "localcloud.database"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        files = {"certificate": str(own.tls / "server.pem"), "key": str(own.tls / "server.key")}
        self.port = self._ask({"folder": str(Path(own.folder) / "postgres"), **files})["port"]

    def _ask(self, question: dict[str, str]) -> Any:
        answer = "".join(self._lines(json.dumps(question)))
        content = json.loads(answer or '{"error": "its process ended"}')
        if "error" in content:
            raise ValueError(f"PostgreSQL: {content['error']}")
        return content

    def _lines(self, question: str) -> Iterator[str]:
        """The one line of the answer; no line when the process has ended."""
        process = self._process
        if process is not None and process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(question + "\n")
                process.stdin.flush()
                yield process.stdout.readline()


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
    cluster.update(Endpoint="127.0.0.1", ReaderEndpoint="127.0.0.1", Port=server.port)
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


def delete_cluster(cluster_id: str, props: Any) -> None:
    """Delete the cluster, and the secret that RDS manages for it."""
    managed = rds._clusters.get(cluster_id, {}).get("MasterUserSecret")
    _delete_cluster(cluster_id, props)
    if managed:
        secretsmanager.delete_secret_in_process(managed["SecretArn"])


_delete_cluster = provisioners._RESOURCE_HANDLERS[CLUSTER]["delete"]
provisioners._RESOURCE_HANDLERS[CLUSTER]["delete"] = delete_cluster
