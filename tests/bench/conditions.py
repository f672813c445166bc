"""On what a run was made: what a reader needs to judge its figures."""

import os
import platform
import subprocess
import time
from pathlib import Path

from tests.lab import sandbox
from tests.lab.daemon import binaries
from tests.lab.process import PARTS

from . import arms


def first_line(*command):
    """What it prints first; "" where it is not there."""
    try:
        said = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False,
                              cwd=sandbox.PROJECT).stdout
    except OSError:
        return ""
    return said.partition("\n")[0].strip()


def processor():
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def read(bench):
    return {
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": platform.release(), "processor": processor(), "cores": arms.cores(),
        "load_average": list(os.getloadavg()),
        "gate25": first_line(f"{binaries()}/gate25d", "--version"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "haproxy": first_line(PARTS / "usr/sbin/haproxy", "-v"),
        "redis": first_line(PARTS / "usr/bin/redis-server", "--version"),
        "workers": bench.workers,
        "settings": {name: arm.settings() for name, arm in bench.arms.items()},
        "seconds": {},  # that each part has taken
    }
