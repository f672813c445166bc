"""The runner of these tests itself: what it must not overlook."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.lab import sandbox

GOOD = "def test_good(): pass\ndef test_other(): pass\n"
FILES = {
    "test_good.py": GOOD,
    "test_bad.py": "def test_good(): pass\ndef test_bad(): assert 1 + 1 == 3, 'the reason'\n",
    "test_setup.py": "import pytest\n@pytest.fixture\ndef broken(): raise OSError('no luck')\ndef test_it(broken): pass\n",
    "test_skips.py": "import pytest\n@pytest.mark.skip(reason='no wish')\ndef test_it(): pass\n",
    "test_hangs.py": "import time\ndef test_it(): time.sleep(3600)\n",
    "test_crashes.py": "import os\ndef test_it(): os._exit(0)\n",
    "test_syntax.py": "def test_it(:\n",
    "test_twice.py": "import pathlib\ndef test_it(tmp_path_factory):\n"
                     "    seen = pathlib.Path(__file__).with_suffix('.seen')\n"
                     "    before, _ = seen.exists(), seen.touch()\n    assert before\n",
}


@pytest.fixture(name="run")
def run_fixture():
    """run("test_good.py", ...) runs those of FILES; its CompletedProcess."""
    # Not below /run, which each lab has its own of.
    with tempfile.TemporaryDirectory(dir=sandbox.PROJECT / "build") as name:
        folder = Path(name)
        for file, text in FILES.items():
            folder.joinpath(file).write_text(text, encoding="ascii")
        yield lambda *words, **environment: subprocess.run(
            [sandbox.PROJECT / "tests/run-integration", "--logs", folder / "logs",
             *(folder / word if word.partition("::")[0] in FILES else word for word in words)],
            capture_output=True, text=True, check=False, env={**os.environ, **environment})


def check(done, counted, status):
    assert done.stdout.splitlines()[-1] == counted, done.stdout + done.stderr
    assert done.returncode == status


def test_every_way_to_fail(run):
    done = run(*(name for name in FILES if name != "test_hangs.py"))
    check(done, f"3 passed, {len(FILES) - 3} failed, 1 skipped", 1)
    for said in ("test_good (2 passed", "AssertionError: the reason", "no luck", "test_it: no wish", "SyntaxError",
                 "test_crashes: pytest left no results", "assert before"):
        assert said in done.stdout, f"{said} is not in:\n{done.stdout}"


def test_a_file_that_hangs_is_ended(run):
    done = run("test_hangs.py", LIMIT="10")
    check(done, "0 passed, 1 failed", 1)
    assert "test_hangs: it was not done after 10 seconds, and was ended" in done.stdout


@pytest.mark.parametrize("words, counted, status, said", [
    (["test_bad.py::test_good", "test_good.py", "-k", "not other"], "2 passed, 0 failed", 0, "test_bad (1 passed"),
    (["test_good.py", "-k", "nothing"], "0 passed, 0 failed", 1, "no test was run"),
    (["test_skips.py"], "0 passed, 0 failed, 1 skipped", 1, "no wish"),
    (["test_good.py", "test_skips.py"], "2 passed, 0 failed, 1 skipped", 0, "no wish"),
    (["test_good.py", "test_skips.py", "--no-skips"], "2 passed, 0 failed, 1 skipped", 1, "no wish"),
    (["test_bad.py", "test_good.py", "-x", "--jobs", "1"], "1 passed, 1 failed", 1,
     "not run, after a failure with -x: test_good"),
    (["test_good.py", "--no-such-option"], "0 passed, 1 failed", 1, "unrecognized arguments"),
], ids=["chosen", "nothing", "skipped", "one skipped", "no skips", "first", "option"])
def test_choices(run, words, counted, status, said):
    done = run(*words)
    check(done, counted, status)
    assert said in done.stdout


def test_a_file_that_is_not_there(run):
    done = run("test_nowhere.py")
    assert done.returncode != 0
    assert "there is no file test_nowhere.py" in done.stderr


# -- the runner of the unit tests ------------------------------------------------------------------

GOOD_UNIT = "[  PASSED  ] 2 test(s)."
UNITS = {
    "test_good": (GOOD_UNIT, 0),
    "test_bad": ("[  FAILED  ] it", 1),
    "test_skips": ("[  SKIPPED ] one\n[  PASSED  ] 1 test(s).\n\n 3 SKIPPED TEST(S)", 0),
}


@pytest.mark.parametrize("names, no_skips, counted, status", [
    (["test_good"], "", "unit: 1 passed, 0 failed", 0),
    (["test_good", "test_bad"], "", "unit: 1 passed, 1 failed", 1),
    (["test_good", "test_skips"], "", "unit: 1 passed, 0 failed, 1 with skipped tests", 0),
    (["test_good", "test_skips"], "1", "unit: 1 passed, 0 failed, 1 with skipped tests", 1),
    (["test_skips"], "", "unit: 0 passed, 0 failed, 1 with skipped tests", 1),
    ([], "", "unit: 0 passed, 0 failed", 1)])
def test_the_unit_runner_overlooks_nothing(tmp_path, names, no_skips, counted, status):
    for name in names:
        said, code = UNITS[name]
        binary = tmp_path / name
        binary.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\nexit {code}\n", encoding="ascii")
        binary.chmod(0o755)
    done = subprocess.run([sandbox.PROJECT / "tests/run-units", *(tmp_path / name for name in names)],
                          capture_output=True, text=True, check=False, env={**os.environ, "NO_SKIPS": no_skips})
    check(done, counted, status)
    assert ("SKIPPED test_skips (3 of its tests)" in done.stdout) is ("test_skips" in names)
