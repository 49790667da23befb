"""Accounts in which a deployment stands half-way: their stacks answer, and what they should hold is missing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from names import Function, Staff

OUTPUTS = (
    "ApiGatewayUrl", "CandidateApiUrl", "AuditLogBucket", "TransactionTableName", "ReleaseTableName", "ListenerArn",
    "BlueTargetGroupArn", "GreenTargetGroupArn", "RollbackAlarmNames", "AlertTopicArn", "MigrationFunctionName",
    "ShadowRoleArn", "ReleaseRoleArn", "LoadTestRoleArn", *(each.name_output for each in Function),
    *(f"{each.capitalize()}RoleArn" for each in Staff),
)  # fmt: skip
WITHOUT_OUTPUTS = ("CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE")
IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>111111111111</Account>"
    "<Arn>arn:aws:iam::111111111111:user/given</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
MISSING = (
    "<ErrorResponse><Error><Code>ResourceNotFoundException</Code><Message>it is gone</Message></Error></ErrorResponse>"
)


class Account(BaseHTTPRequestHandler):
    """The first part of the path is the state of every stack."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        [action] = parse_qs(body).get("Action", [""])
        state = self.path.split("/")[1]
        if action == "DescribeStacks":
            self._send(200, stack(state))
        elif action == "GetCallerIdentity":
            self._send(200, IDENTITY)
        elif "X-Amz-Target" in self.headers:
            self._send(400, '{"__type": "ResourceNotFoundException", "message": "it is gone"}')
        else:
            self._send(404, MISSING)

    do_GET = do_POST = do_PUT = do_HEAD = answer

    def _send(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


def stack(state: str) -> str:
    """The answer of DescribeStacks."""
    outputs = "".join(
        f"<member><OutputKey>{name}</OutputKey><OutputValue>{value(name)}</OutputValue></member>"
        for name in (() if state in WITHOUT_OUTPUTS else OUTPUTS)
    )
    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>s</StackName><StackId>arn:s</StackId>"
        f"<CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>{state}</StackStatus>"
        f"<Outputs>{outputs}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )


def value(output: str) -> str:
    if output.endswith("Url"):
        return "https://abc.execute-api.us-east-1.amazonaws.com/dev/"
    return f"arn:aws:x:us-east-1:111111111111:y/{output}" if output.endswith("Arn") else output.lower()


@contextmanager
def accounts() -> Iterator[str]:
    """Their address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Account) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
