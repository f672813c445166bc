"""A wall clock of a program's own, which a test may set. There is no namespace for it."""

import os
import struct
import subprocess

from . import sandbox
from .process import fresh_folder


class Clock:
    """Programs started with `environment` have this clock; it begins as the machine's."""

    def __init__(self):
        folder = fresh_folder("clock")
        self._offset = folder / "offset"
        self.set(0)
        library = folder / "clock.so"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library,
                        sandbox.PROJECT / "tests/lab/clock.c"], check=True)
        # A sanitizer wants to come first, and lets itself be told not to.
        options = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        self.environment = {"LD_PRELOAD": str(library), "LAB_CLOCK": str(self._offset), "ASAN_OPTIONS": options}

    def set(self, seconds):
        """So many seconds before (or behind, below 0) the machine's, from now on."""
        with open(os.open(self._offset, os.O_RDWR | os.O_CREAT, 0o644), "r+b", buffering=0) as file:
            file.write(struct.pack("=q", seconds))
