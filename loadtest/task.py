"""The program of a Fargate task: fetch the code, install its packages, run the load gate or one of its workers.

It is sent as text, so it has only Python's standard library until it has installed the packages:

    python -c "$(cat loadtest/task.py)" CODE_URL gate BUCKET KEY OPTIONS-OF-THE-GATE...
    python -c "$(cat loadtest/task.py)" CODE_URL worker MASTER
"""

import http.client
import io
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import zipfile
from urllib.parse import urlsplit

PORT = "5557"


def main(code_url: str, role: str, *arguments: str) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the first process of a container ignores it otherwise
    own_address = fetch(code_url)
    packages = install()
    if role == "worker":
        where = ["--master-host", *arguments, "--master-port", PORT]
        return run("locust", "-f", "loadtest/locustfile.py", "--worker", *where, "--loglevel", "WARNING")
    bucket, key, *options = arguments
    code = run("loadtest.gate", *options, "--bind", f"{own_address}:{PORT}")
    sys.path.insert(0, packages)
    import boto3

    with open(shutil.make_archive("gate", "zip", "reports"), "rb") as reports:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=reports)
    return code


def run(module: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", module, *arguments]).returncode


def fetch(url: str) -> str:
    """Unpack the code into the current folder. Returns this task's address, seen by the connection it came over."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(parts.netloc, timeout=60)
    connection.request("GET", f"{parts.path}?{parts.query}")
    address = str(connection.sock.getsockname()[0])
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"the code can't be fetched: {answer.status} {answer.reason}")
    zipfile.ZipFile(io.BytesIO(answer.read())).extractall()
    return address


def install() -> str:
    """Install the load test's packages, each checked against its hash. Returns their folder."""
    os.environ["TMPDIR"] = os.getcwd()  # the only writable folder
    prefix = os.path.abspath("packages")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    checked = ["--require-hashes", "-r", "requirements/loadtest.txt"]
    subprocess.run([*pip, "--root-user-action=ignore", "--prefix", prefix, *checked], check=True)
    packages = sysconfig.get_path("purelib", "posix_prefix", {"base": prefix})
    os.environ["PYTHONPATH"] = os.pathsep.join([os.getcwd(), packages])
    return packages


if __name__ == "__main__":
    if len(sys.argv) < 3:
        print("this is the program of a Fargate task: `python -m loadtest.fargate` starts it", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(*sys.argv[1:]))
