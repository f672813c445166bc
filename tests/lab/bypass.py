"""gate25-bypassd in a gate of the lab, beside its gate25d."""

import json
import re
import socket

from .daemon import Daemon, binaries, wrapper as default_wrapper
from .process import wait_for

TABLE = ("inet", "gate25_bypass")
METRICS_PORT = 9126


class Bypass(Daemon):
    """gate25-bypassd with the configuration of `gate`, which it writes its own section into."""

    name = "bypass"

    def __init__(self, gate, overrides=None, wrapper=()):
        super().__init__(gate.host)
        self.gate = gate
        self.wrapper = list(wrapper) or default_wrapper()
        self.program = f"{binaries()}/gate25-bypassd"
        self.control = self.folder / "bypass.sock"
        gate.configure({"bypass": {"control": self.control, "listen": [f"127.0.0.1:{METRICS_PORT}"],
                                   **(overrides or {})}})

    def start(self, seconds=30):
        return self.launch_daemon(*self.wrapper, self.program, "--config", self.gate.config, seconds=seconds)

    # -- what it says ------------------------------------------------------------------------------

    def ask(self, verb):
        with self.host.inside():
            connection = socket.socket(socket.AF_UNIX)
        with connection:
            connection.settimeout(30)
            connection.connect(str(self.control))
            connection.sendall(f"{verb}\n".encode("ascii"))
            return json.loads(connection.makefile().readline())

    def status(self):
        return self.ask("status")

    def wait_status(self, seconds=60, **wanted):
        """The status once these of its values are so."""
        def holds():
            status = self.status()
            return status if all(status[key] == value for key, value in wanted.items()) else None
        return wait_for(holds, seconds, f"bypass status with {wanted}")

    def page(self):
        """What Prometheus reads."""
        with self.host.connect("127.0.0.1", port=METRICS_PORT) as connection:
            connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            head, _, body = connection.makefile(newline="").read().partition("\r\n\r\n")
        assert " 200 " in head.splitlines()[0], head
        return body

    def metrics(self):
        """{"gate25_bypass_units": 3.0, 'gate25_bypass_...{subscriber="..."}': ...}."""
        return {name: float(value) for name, value in re.findall(r"(?m)^(gate25_\S+) (\S+)$", self.page())}

    # -- what the kernel holds ---------------------------------------------------------------------

    def units(self):
        """{unit: its attributes} of all sets of units."""
        return {unit: inner for family in (4, 6) for part in range(16)
                for unit, inner in self.elements(f"units{family}_{part:x}").items()}

    def elements(self, name):
        """{element: its attributes} of a set of the table, as nft writes them."""
        said = json.loads(self.host.run("nft", "-j", "list", "set", *TABLE, name).stdout)
        found = {}
        for item in next(entry["set"] for entry in said["nftables"] if "set" in entry).get("elem", []):
            inner = item["elem"] if isinstance(item, dict) and "elem" in item else {"val": item}
            value = inner["val"]
            if isinstance(value, dict) and "range" in value:
                value = "-".join(value["range"])
            elif isinstance(value, dict):
                value = f"{value['prefix']['addr']}/{value['prefix']['len']}"
            found[value] = inner
        return found

    def remove(self):
        """What it has left in the kernel goes."""
        self.host.run(self.program, "--remove")

    def table_stands(self):
        return "gate25_bypass" in self.host.run("nft", "list", "tables").stdout
