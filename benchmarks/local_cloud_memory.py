"""The memory of a local cloud under load, and its growth: ``python -m benchmarks.local_cloud_memory``.

Deploys the platform on one local cloud and sends payments at a fixed rate for four minutes. Prints the proportional set
size (memory that processes share counts once) of the emulator, of the functions' environments and of PostgreSQL before
the load and after each minute of it, and once more when the last environments have ended. Takes ten minutes.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks._platform import ROOT, deployed
from environments import DEV
from localcloud import LocalCloud

MINUTES, RATE = 4, 15
REST_SECONDS = 200


def main() -> None:
    with tempfile.TemporaryDirectory() as name, deployed(Path(name)) as platform:
        cloud, environ = platform.cloud, platform.environ
        print(f"MiB{'':<22}{'emulator':>10}{'functions':>10}{'PostgreSQL':>11}{'all':>7}")
        begin = _show("deployed", cloud)
        for minute in range(1, MINUTES + 1):
            _run(environ, "loadtest.traffic", "--env", DEV.name, "--rate", str(RATE), "--", "sleep", "60")
            end = _show(f"{minute * 60 * RATE} requests more", cloud)
        print(f"emulator: {(end - begin) / MINUTES / 60 / RATE * 1024:.1f} KiB a request")
        time.sleep(REST_SECONDS)
        _show(f"{REST_SECONDS} s later", cloud)


def _run(environ: dict[str, str], *module: str) -> None:
    done = subprocess.run([sys.executable, "-m", *module], cwd=ROOT, env=environ, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(module)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def _show(moment: str, cloud: LocalCloud) -> float:
    """Print the memory by kind of process; returns the emulator's, MiB."""
    sizes = dict.fromkeys(("emulator", "functions", "PostgreSQL"), 0.0)
    leader = _leader(cloud)
    for process in [leader, *leader.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            kind = "emulator" if process == leader else "functions" if "runtime_process" in command else "PostgreSQL"
            sizes[kind] += process.memory_full_info().pss / 2**20
    shown = "".join(f"{size:10.0f}" for size in sizes.values())
    print(f"{moment:<25}{shown}{sum(sizes.values()):8.0f}", flush=True)
    return sizes["emulator"]


def _leader(cloud: LocalCloud) -> psutil.Process:
    def serves(process: psutil.Process) -> bool:
        return {"localcloud.emulator", str(cloud.folder)} <= set(process.info["cmdline"] or ())

    return next(filter(serves, psutil.process_iter(["cmdline"])))


if __name__ == "__main__":
    os.umask(0o022)
    main()
