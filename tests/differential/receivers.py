"""The real servers, each with a way to say from its own log what it accepted in a session."""

import collections
import contextlib
import json
import os
import re
import sys

from tests.lab import sandbox
from tests.lab.postfix import Postfix
from tests.lab.process import PARTS, Process

HERE = sandbox.PROJECT / "tests/differential"


class Counts(collections.namedtuple("Counts", "messages recipients")):
    """What one session brought."""


def tally(found):
    """{address: Counts} from (address, is a message) pairs."""
    counts = collections.defaultdict(lambda: [0, 0])
    for address, is_message in found:
        counts[address][0 if is_message else 1] += 1
    return {address: Counts(*pair) for address, pair in counts.items()}


class Relay(Process):
    """relay.py; `sessions()` is what it wrote down, by the subscriber's address."""

    name = "relay"

    def __init__(self, host, pairs):
        super().__init__(host)
        self.pairs = [f"{listen}={server}" for listen, server in pairs]
        self.record = self.folder / "record.jsonl"

    def start(self):
        return self.launch(sys.executable, HERE / "relay.py", self.record, *self.pairs)

    def ready(self):
        return "ready" in self.text()

    def sessions(self):
        lines = self.record.read_text(encoding="ascii").splitlines(keepends=True)
        return {entry["peer"]: entry["events"] for entry in map(json.loads, (x for x in lines if x.endswith("\n")))}


class Aiosmtpd(Process):
    """Lenient: an end of data is what looks like one."""

    name = "aiosmtpd"

    def __init__(self, host, address):
        super().__init__(host)
        self.address = address

    def start(self):
        return self.launch(sys.executable, HERE / "aiosmtpd_server.py", self.address)

    def ready(self):
        return "ready" in self.text()

    def counts(self):
        lines = (line for line in self.text().splitlines() if line.startswith("["))
        return tally((address, what == "message") for address, what in map(json.loads, lines))


class PostfixReceiver(Postfix):
    """Postfix; `bare_newline` is its smtpd_forbid_bare_newline: no, normalize or reject."""

    RECIPIENT = re.compile(r"info: RCPT from unknown\[(127\.1\.[\d.]+)\]")
    MESSAGE = re.compile(r"info: END-OF-MESSAGE from unknown\[(127\.1\.[\d.]+)\]")

    def __init__(self, host, address, bare_newline):
        super().__init__(host, address, domains=(), settings={
            "smtpd_forbid_bare_newline": bare_newline,
            "smtpd_forbid_bare_newline_exclusions": "",
            "smtpd_recipient_restrictions": "check_recipient_access regexp:{{/^refused/ REJECT}}, "
                                            "check_recipient_access static:{INFO recipient}",
            "smtpd_end_of_data_restrictions": "check_sender_access static:{INFO message}",
            "smtpd_error_sleep_time": "0",
            "smtpd_hard_error_limit": "1000",
            "default_transport": "discard:",
            "default_process_limit": "60",
        })

    def counts(self):
        text = self.maillog_text()
        return tally([(address, False) for address in self.RECIPIENT.findall(text)] +
                     [(address, True) for address in self.MESSAGE.findall(text)])


class Exim(Process):
    """Exim, which keeps what it gets in its queue."""

    name = "exim"
    CONFIG = """\
primary_hostname = mx.example
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
pid_file_path = {folder}/pid
local_interfaces = {address}
daemon_smtp_ports = 25
queue_only
smtp_enforce_sync = false
smtp_accept_max = 0
smtp_connect_backlog = 1000
smtp_max_unknown_commands = 1000
smtp_max_synprot_errors = 1000
smtp_accept_max_nonmail = 1000
chunking_advertise_hosts = *
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
message_logs = false
acl_smtp_rcpt = recipient
begin acl
recipient:
  deny    local_parts = ^refused
  accept  logwrite = RECIPIENT [$sender_host_address]
"""

    def __init__(self, host, address):
        super().__init__(host)
        user = sandbox.ACCOUNTS["Debian-exim"]
        (self.folder / "spool").mkdir()
        os.chown(self.folder, user, user)
        os.chown(self.folder / "spool", user, user)
        self.config = self.folder / "exim.conf"
        self.config.write_text(self.CONFIG.format(folder=self.folder, address=address), encoding="ascii")
        self.address = address

    def start(self):
        return self.launch(PARTS.parent / "exim4-daemon-light/usr/sbin/exim4", "-C", self.config, "-bdf", "-oX", self.address)

    def ready(self):
        with contextlib.suppress(OSError):
            self.host.connect(self.address).close()
            return True
        return False

    def text(self):
        log = self.folder / "mainlog"
        return super().text() + (log.read_text(encoding="latin-1") if log.exists() else "")

    def counts(self):
        text = self.text()
        return tally([(address, False) for address in re.findall(r"RECIPIENT \[(127\.1\.[\d.]+)\]", text)] +
                     [(address, True) for address in re.findall(r" <= .* \[(127\.1\.[\d.]+)\]", text)])


class OpenSmtpd(Process):
    """OpenSMTPD. It ends sessions that pipeline, and logs messages alone: recipients only with them."""

    name = "opensmtpd"
    stepwise = True
    CONFIG = """\
queue ttl 1h
listen on {address} port 25 hostname mx.example
action "away" relay host smtp://127.0.0.99
match from any rcpt-to regex "^refused" reject
match from any for any action "away"
"""
    # Its folders have fixed places: they are put there for it alone.
    PLACES = """\
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /var/spool
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
echo lookup file >/var/lib/resolv.conf
mount --bind /var/lib/resolv.conf "$(readlink -f /etc/resolv.conf)"
exec "$@"
"""

    def __init__(self, host, address):
        super().__init__(host)
        self.address = address
        self.config = self.folder / "smtpd.conf"
        self.config.write_text(self.CONFIG.format(address=address, folder=self.folder), encoding="ascii")
        self.config.chmod(0o600)

    def start(self):
        program = PARTS.parent / "opensmtpd/usr/sbin/smtpd"
        return self.launch("unshare", "--mount", "sh", "-ec", self.PLACES, "sh", program, "-d", "-f", self.config)

    def ready(self):
        with contextlib.suppress(OSError):
            self.host.connect(self.address).close()
            return True
        return False

    def counts(self):
        text = self.text()
        sessions = dict(re.findall(r"^(\w+) smtp connected address=(127\.1\.[\d.]+)", text, re.MULTILINE))
        found = re.findall(r"^(\w+) smtp message ", text, re.MULTILINE)
        counts = tally((sessions[session], True) for session in found if session in sessions)
        return {address: Counts(count.messages, None) for address, count in counts.items()}


def all_receivers(host):
    """{name: (the address that subscribers know, the server)}"""
    servers = {
        "postfix-no": PostfixReceiver(host, "127.0.0.11", "no"),
        "postfix-normalize": PostfixReceiver(host, "127.0.0.12", "normalize"),
        "postfix-reject": PostfixReceiver(host, "127.0.0.13", "reject"),
        "exim": Exim(host, "127.0.0.14"),
        "aiosmtpd": Aiosmtpd(host, "127.0.0.15"),
        "opensmtpd": OpenSmtpd(host, "127.0.0.16"),
    }
    return servers
