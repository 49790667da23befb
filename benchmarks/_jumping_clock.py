"""Runs a command whose clock jumps: ``python -m benchmarks._jumping_clock FILE SECONDS MODULE [ARGUMENT ...]``.

``time.time`` is wrong by SECONDS as soon as FILE exists, as when a laptop wakes or a host gets its time again. The
system's own clock stays right, so that signatures are accepted: to AWS, a wrong clock is another fault.
"""

import os
import runpy
import sys
import time


def main() -> None:
    file, seconds, module, *arguments = sys.argv[1:]
    right = time.time

    def jumping() -> float:
        return right() + (float(seconds) if os.path.exists(file) else 0.0)

    time.time = jumping
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
