"""nsd, a real authoritative DNS server, with the zones that a test gives it."""

import contextlib
import os
import socket

from . import freezer, proc
from .process import PARTS, Process

PORT = 5300

# Its answer tells that the server is there, and nothing else.
PROBE = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07invalid\x00\x00\x01\x00\x01"


def txt(text):
    """A TXT record's data: strings of at most 255 bytes."""
    data = text.replace("\\", "\\\\").replace('"', '\\"')
    return "TXT " + " ".join(f'"{data[at:at + 240]}"' for at in range(0, len(data), 240))


class Nsd(Process):
    """nsd on a loopback address of a host.

    `records` are lines of a zone file below `zones`: {"pass.spf.example": ["TXT ..."]}. stop()
    makes it silent, as a dead server is.
    """

    name = "nsd"

    def __init__(self, host, records, zones=("spf.example", "in-addr.arpa")):
        super().__init__(host)
        self.address = f"127.0.0.1:{PORT}"
        config = [f"""server:
            ip-address: 127.0.0.1@{PORT}
            username: ""
            zonesdir: "{self.folder}"
            database: ""
            pidfile: "{self.folder}/pid"
            xfrdfile: "{self.folder}/xfrd"
            zonelistfile: "{self.folder}/zonelist"
            xfrdir: "{self.folder}"
            server-count: 1
            verbosity: 1
        remote-control:
            control-enable: no"""]
        for zone in zones:
            path = self.folder / f"{zone}.zone"
            lines = [f"$ORIGIN {zone}.", "$TTL 1", "@ SOA ns hostmaster 1 3600 600 86400 1", "@ NS ns",
                     "ns A 127.0.0.1"]
            for name, datas in records.items():
                if name.endswith(zone):
                    lines += [f"{name}. {data}" for data in datas]
            path.write_text("\n".join(lines) + "\n", encoding="ascii")
            config.append(f"zone:\n  name: {zone}\n  zonefile: {path}")
        self.config = self.folder / "nsd.conf"
        self.config.write_text("\n".join(config) + "\n", encoding="ascii")

    def start(self):
        return self.launch(PARTS / "usr/sbin/nsd", "-d", "-c", self.config)

    def signal(self, number):
        """To all of it: another process than the first answers."""
        os.killpg(self.process.pid, number)

    def stop(self):
        for pid, group in proc.groups().items():
            if group == self.process.pid:
                freezer.stop(pid)

    def ready(self):
        with self.host.inside():
            probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with contextlib.closing(probe), contextlib.suppress(OSError):
            probe.settimeout(0.2)
            probe.sendto(PROBE, ("127.0.0.1", PORT))
            return probe.recv(512)[:2] == PROBE[:2]
        return False
