"""The files of tests/transcripts with bare-lf = "refuse", through the real daemon."""

import pytest

from tests.integration import transcript
from tests.lab.servers import Gate

REFUSING = transcript.load(lambda t: t.settings.get("only") != "dialog" and "bare-lf" in t.settings)


@pytest.mark.parametrize("index", range(len(REFUSING)), ids=[t.name for t in REFUSING])
def test_transcript_with_bare_lf(lab, redis, index):
    played = REFUSING[index]
    overrides = {"smtp": {"bare-lf": played.settings["bare-lf"]}, "class ordinary": played.class_options()}
    with Gate(lab, redis, overrides):
        for bytewise in (False, True):
            transcript.play(lab, played, 120 + 2 * index + bytewise, 4, bytewise)
