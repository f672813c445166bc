"""Exim from .parts, as a server that keeps what it gets in its queue, and as a customer's mail server."""

import os
import re

from . import sandbox
from .certificate import make_certificate
from .process import PARTS, Process

PROGRAM = PARTS.parent / "exim4-daemon-light/usr/sbin/exim4"
COMMON = """\
primary_hostname = {name}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
log_selector = +smtp_connection
host_lookup =
rfc1413_query_timeout = 0s
message_logs = false
"""
SERVER = COMMON + """\
local_interfaces = {address}
daemon_smtp_ports = 25
queue_only
smtp_enforce_sync = false
smtp_accept_max_nonmail = 1000
chunking_advertise_hosts = *
tls_advertise_hosts = *
tls_certificate = {certificate}
tls_privatekey = {key}
acl_smtp_rcpt = accept
acl_smtp_data = accept
acl_smtp_data_prdr = late
prdr_enable = true
begin acl
accept:
  accept
late:
  deny    local_parts = ^late
  accept
"""
CLIENT = COMMON + """\
qualify_domain = customer.example
begin routers
out:
  driver = manualroute
  route_list = * {relay} byname
  self = send
  transport = out
begin transports
out:
  driver = smtp
  interface = {source}
  {tls} = *
  tls_try_verify_hosts =
  tls_verify_hosts =
  helo_data = client.example
begin retry
* * F,1h,1s
"""


class _Exim(Process):
    """Either side: a folder that is Exim's own, and its log."""

    name = "exim"

    def __init__(self, host, text, **values):
        super().__init__(host)
        user = sandbox.ACCOUNTS["Debian-exim"]
        (self.folder / "spool").mkdir()
        os.chown(self.folder, user, user)
        os.chown(self.folder / "spool", user, user)
        self.config = self.folder / "exim.conf"
        self.config.write_text(text.format(folder=self.folder, **values), encoding="ascii")

    def log_text(self):
        log = self.folder / "mainlog"
        return log.read_text(encoding="latin-1") if log.exists() else ""

    def text(self):
        return super().text() + self.log_text()


class EximServer(_Exim):
    """On port 25 of `address`, with STARTTLS, PIPELINING, CHUNKING and PRDR, which refuses who is called late."""

    def __init__(self, host, address):
        self.address = address
        super().__init__(host, SERVER.replace("{certificate}", "{folder}/cert.pem").replace("{key}", "{folder}/key.pem"),
                         name="mx.example", address=address)
        for path in make_certificate(self.folder):
            path.chmod(0o644)

    def start(self):
        return self.launch(PROGRAM, "-C", self.config, "-bdf", "-oX", self.address)

    def ready(self):
        return self.listens(self.address)

    def clients(self):
        """The client addresses that connected, in order."""
        return re.findall(r"SMTP connection from \[([^]]+)\]", self.log_text())

    def accepted(self, source):
        """How many messages it took from that address."""
        return len(re.findall(rf" <= .* \[{re.escape(source)}\]", self.log_text()))


class EximClient(_Exim):
    """Hands messages to `relay` from `source`, behind STARTTLS or in plain text; it has no daemon."""

    def __init__(self, host, source, relay, tls=True):
        super().__init__(host, CLIENT, name="mail.customer.example", source=source, relay=relay,
                         tls="hosts_require_tls" if tls else "hosts_avoid_tls")

    def start(self):
        raise NotImplementedError

    def ready(self):
        return True

    def queue(self, *recipients, text, sender="owner@customer.example"):
        self.host.run(PROGRAM, "-C", self.config, "-odq", "-i", "-f", sender, *recipients, input=text)

    def deliver(self):
        """Tries all that is queued; messages to one server go in one session."""
        self.host.run(PROGRAM, "-C", self.config, "-qqff", timeout=120)

    def delivered(self):
        return len(re.findall(r" => ", self.log_text()))
