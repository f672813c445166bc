"""A FreeRADIUS in a host of the lab, with contrib's files, and radclient."""

import os

from . import sandbox, topology
from .process import Process

ROOT = sandbox.PROJECT / ".parts" / "freeradius"
CONFIG = ROOT / "etc/freeradius/3.0"
RECIPES = topology.CONTRIB / "freeradius"
PASSWORD = "radius-password"
SECRET = "lab-secret"
QUOTED = str.maketrans({"\\": "\\\\", '"': '\\"', "\r": "\\r", "\n": "\\n"})

MAIN = """
prefix = {root}/usr
name = radius
raddbdir = {folder}
radacctdir = {folder}
logdir = {folder}
run_dir = {folder}
libdir = {root}/usr/lib/freeradius
pidfile = {folder}/pid
max_request_time = 30
cleanup_delay = 0
hostname_lookups = no
security {{
    allow_core_dumps = no
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 4
}}
client lab {{
    ipaddr = 127.0.0.1
    secret = {secret}
}}
modules {{
    $INCLUDE {config}/mods-available/always
    $INCLUDE {config}/mods-available/expr
    $INCLUDE {folder}/mods-gate25
}}
policy {{
    $INCLUDE {folder}/policy-gate25
}}
server default {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = 1813
    }}
    preacct {{
        ok
    }}
    accounting {{
        ok
        gate25
    }}
}}
$INCLUDE {folder}/sites-gate25
"""


def rights():
    """The line of contrib/redis/users.acl for the RADIUS server, as words."""
    lines = (topology.CONTRIB / "redis" / "users.acl").read_text(encoding="utf-8").splitlines()
    line = next(line for line in lines if line.startswith("user radius "))
    return line.replace("CHANGE-ME-radius", PASSWORD).split()[1:]


def give_rights(redis):
    name, *words = rights()
    redis.cli("acl", "setuser", name, "reset", *words)


def environment():
    return {**os.environ, "LD_LIBRARY_PATH": str(ROOT / "usr/lib/freeradius")}


class Radius(Process):
    """freeradius, told by accounting and telling the Redis at 127.0.0.1."""

    name = "radius"

    def __init__(self, host, redis, life=3600):
        super().__init__(host)
        self.redis = redis
        for file in ("mods-gate25", "policy-gate25", "sites-gate25"):
            text = (RECIPES / file).read_text(encoding="utf-8")
            for old, new in (("CHANGE-ME-radius", PASSWORD), ("port = 6379", f"port = {redis.port}"),
                             ("life = 3600", f"life = {life}")):
                assert file != "mods-gate25" or old in text
                text = text.replace(old, new)
            (self.folder / file).write_text(text, encoding="utf-8")
        (self.folder / "dictionary").write_text("", encoding="ascii")
        (self.folder / "radiusd.conf").write_text(
            MAIN.format(root=ROOT, config=CONFIG, folder=self.folder, secret=SECRET), encoding="utf-8")

    def start(self):
        give_rights(self.redis)
        return self.launch(ROOT / "usr/sbin/freeradius", "-f", "-xx", "-l", "stdout", "-d", self.folder, "-D",
                           ROOT / "usr/share/freeradius", "-n", "radiusd", seconds=30, env=environment())

    def ready(self):
        return "Ready to process requests" in self.text()

    def tell(self, status, account="alice", session="s1", *, check=True, **attributes):
        """One accounting packet by radclient; True when it was answered.

        Attributes are named with underscores: Framed_IP_Address="10.20.0.7".
        """
        values = {"Acct-Status-Type": status, "User-Name": account, "Acct-Session-Id": session,
                  "NAS-IP-Address": "127.0.0.1",
                  **{name.replace("_", "-"): value for name, value in attributes.items()}}
        lines = []
        for name, value in values.items():
            for item in value if isinstance(value, list) else [value]:
                text = str(item)
                if name in ("User-Name", "Acct-Session-Id", "NAS-Identifier"):
                    text = '"' + text.translate(QUOTED) + '"'
                lines.append(f"{name} = {text}" if item is value else f"{name} += {text}")
        result = self.host.run(ROOT / "usr/bin/radclient", "-D", ROOT / "usr/share/freeradius", "-r", "2", "-t", "3",
                               "127.0.0.1:1813", "acct", SECRET, input="\n".join(lines) + "\n", check=False,
                               env=environment())
        answered = result.returncode == 0 and "Accounting-Response" in result.stdout
        assert answered or not check, f"{result.stdout}\n{result.stderr}\n{self.tail(80)}"
        return answered
