"""What runs in the kernel, in another one than this machine's."""

import platform
import re
from pathlib import Path

import pytest

from tests.lab import machine
from tests.lab.gate import binaries


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this needs an x86-64 machine")
def test_debians_kernel_takes_the_fast_path():
    """Its checks of programs are other ones than newer kernels', and stricter with who has CAP_BPF alone."""
    said = machine.run(Path(binaries()).parent / "tests" / "unit" / "test_fast_path")
    assert f"{machine.ENDED} 0" in said and "SKIPPED" not in said, said
    assert int(re.search(r"PASSED  \] (\d+) test", said)[1]) > 0
