#!/usr/bin/python3
"""Turns the transcripts into inputs of the target dialog: transcript_seeds.py FOLDER."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.integration import transcript  # noqa: E402

CLIENT, SERVER, CLIENT_END, SERVER_END, ANSWER, CONNECT = 0, 1, 2, 3, 5, 6
MOST = 4096  # a seed far larger than what the fuzzer makes is of no use to it


def records(operation, data):
    pieces = [data[at:at + 255] for at in range(0, len(data), 255)] or [b""]
    return b"".join(bytes([operation, len(piece)]) + piece for piece in pieces)


def granted():
    """All that may have been asked: eight messages, with as many recipients as an answer can hold."""
    return records(ANSWER, bytes([7 * 3]))


def seed(played, modelled):
    shadow = 64 if played.settings.get("enforce") == "false" else 0
    refuse = 32 if played.settings.get("bare-lf") == "refuse" else 0
    out = bytes([shadow | refuse, modelled]) + records(CONNECT, b"\0") + granted()
    for _, line in played.steps:
        side, verb = line[0], line[1:3]
        if verb == ".":
            out += records(CLIENT_END if side == "C" else SERVER_END, b"")
        elif line[1] == ">":
            raw = verb == ">>"
            data = transcript.unescape(line[4:] if raw else line[3:] + "\\r\\n").encode("latin-1")[:MOST]
            if side == "C":
                out += records(CLIENT, data) + granted() * 2
            else:
                out += records(SERVER, b"\x01\x05\x09\x0d" * 2 if modelled else data)
    return out


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for played in transcript.load(lambda played: played.settings.get("action", "meter") == "meter"):
        for modelled in (0, 1):
            content = seed(played, modelled)
            if len(content) <= MOST:
                (folder / f"{played.name}-{modelled}").write_bytes(content)


if __name__ == "__main__":
    main()
