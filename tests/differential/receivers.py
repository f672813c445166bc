"""The real servers, each with a way to say from its own log what it accepted in a session."""

import collections
import json
import os
import re
import sys

from tests.differential import names
from tests.lab import sandbox
from tests.lab.certificate import make_certificate
from tests.lab.postfix import Postfix
from tests.lab.process import PARTS, Process

HERE = sandbox.PROJECT / "tests/differential"


class Counts:
    """What one session brought, by the server's own log."""

    def __init__(self):
        self.messages = self.recipients = 0


class Lines:
    """A growing file's lines, each once."""

    def __init__(self, path):
        self.path = path
        self.read = 0

    def new(self):
        """The complete lines that were added since the last time."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.read)
                text = file.read()
        except FileNotFoundError:
            return []
        text = text[:text.rfind(b"\n") + 1]
        self.read += len(text)
        return text.decode("latin-1").splitlines()


class Receiver:
    """What all servers have: counts() is {address: Counts} of what they logged since forget().

    A server's class has `counted`, the file with its log, and finds() what a line of it tells.
    """

    stepwise = False  # does it want its clients to wait for each reply?

    def start_counting(self):
        self.lines = Lines(self.counted)
        self.tallies = collections.defaultdict(Counts)

    def forget(self):
        self.counts()
        self.tallies.clear()

    def counts(self):
        for line in self.lines.new():
            for address, kind in self.finds(line):
                counts = self.tallies[address]
                setattr(counts, kind, getattr(counts, kind) + 1)
        return self.tallies

    def recipients(self, counts, replies):
        """Those that it accepted: by its log, or where that is silent by what it said itself."""
        del replies
        return counts.recipients

    def died(self, address):
        """Did the process that had this address for a client die of a signal? What it had done it told nobody."""
        del address
        return False


class Relay(Process):
    """relay.py; `sessions()` is what it wrote down, by the subscriber's address."""

    name = "relay"

    def __init__(self, host, pairs, **environment):
        super().__init__(host)
        self.environment = environment
        self.pairs = [f"{listen}={server}" for listen, server in pairs]
        self.record = self.folder / "record.jsonl"

        self.lines = Lines(self.record)
        self.known = {}

    def start(self):
        return self.launch(sys.executable, HERE / "relay.py", self.record, *self.pairs, env={**os.environ, **self.environment})

    def ready(self):
        return "ready" in self.text()

    def forget(self):
        self.lines.new()
        self.known.clear()

    def sessions(self):
        self.known.update((entry["peer"], entry["events"]) for entry in map(json.loads, self.lines.new()))
        return self.known


class Aiosmtpd(Receiver, Process):
    """Lenient: an end of data is what looks like one."""

    name = "aiosmtpd"

    def __init__(self, host, address):
        super().__init__(host)
        self.address, self.counted = address, self.log
        self.start_counting()

    def start(self):
        return self.launch(sys.executable, HERE / "aiosmtpd_server.py", self.address, *make_certificate(self.folder))

    def ready(self):
        return "ready" in self.text()

    def finds(self, line):
        if line.startswith("["):
            address, what = json.loads(line)
            yield address, what + "s"


class PostfixReceiver(Receiver, Postfix):
    """Postfix; `bare_newline` is its smtpd_forbid_bare_newline: no, normalize or reject."""

    FOUND = re.compile(r": info: (RCPT|END-OF-MESSAGE) from [^\s\[]*\[(127\.1\.[\d.]+)\]")
    KINDS = {"RCPT": "recipients", "END-OF-MESSAGE": "messages"}
    CONNECT = re.compile(r"postfix/smtpd\[(\d+)\]: connect from [^\s\[]*\[(127\.1\.[\d.]+)\]")
    KILLED = re.compile(r"postfix/master\[\d+\]: warning: process \S*/smtpd pid (\d+) killed by signal \d+$")

    def __init__(self, host, address, bare_newline):
        super().__init__(host, address, domains=(), starttls=True, settings={
            "smtpd_forbid_bare_newline": bare_newline,
            "smtpd_forbid_bare_newline_exclusions": "",
            "smtpd_recipient_restrictions": "check_recipient_access regexp:{{/^refused/ REJECT}}, "
                                            "check_recipient_access static:{INFO recipient}",
            "smtpd_end_of_data_restrictions": "check_sender_access static:{INFO message}",
            "smtpd_error_sleep_time": "0",
            "smtpd_hard_error_limit": "1000",
            "default_transport": "discard:",
            "default_process_limit": "60",
            "smtpd_authorized_xclient_hosts": "127.1.0.0/16",
        })
        self.counted = self.maillog
        self.served, self.dead = {}, set()  # the last client of each process; those whose process died
        self.start_counting()

    def forget(self):
        super().forget()
        self.dead.clear()

    def finds(self, line):
        """Besides, who is served by which process, and which of those died."""
        found, connect, killed = self.FOUND.search(line), self.CONNECT.search(line), self.KILLED.search(line)
        if connect:
            self.served[connect[1]] = connect[2]
        if killed and killed[1] in self.served:
            self.dead.add(self.served.pop(killed[1]))
        if found:
            yield found[2], self.KINDS[found[1]]

    def died(self, address):
        return address in self.dead


class Exim(Receiver, Process):
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
tls_advertise_hosts = *
tls_certificate = {folder}/cert.pem
tls_privatekey = {folder}/key.pem
host_lookup =
rfc1413_query_timeout = 0s
message_logs = false
acl_smtp_rcpt = recipient
prdr_enable = true
acl_smtp_data = accept
acl_smtp_data_prdr = late
begin acl
accept:
  accept
late:
  deny    local_parts = ^late
  accept
recipient:
  deny    local_parts = ^refused
  accept  logwrite = RECIPIENT [$sender_host_address]
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = true
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = true
"""
    FOUND = re.compile(r" (RECIPIENT|<=) .*\[(127\.1\.[\d.]+)\]")
    KINDS = {"RECIPIENT": "recipients", "<=": "messages"}

    def __init__(self, host, address):
        super().__init__(host)
        user = sandbox.ACCOUNTS["Debian-exim"]
        (self.folder / "spool").mkdir()
        os.chown(self.folder, user, user)
        os.chown(self.folder / "spool", user, user)
        self.config = self.folder / "exim.conf"
        self.config.write_text(self.CONFIG.format(folder=self.folder, address=address), encoding="ascii")
        for path in make_certificate(self.folder):
            os.chown(path, user, user)
        self.address, self.counted = address, self.folder / "mainlog"
        self.start_counting()

    def start(self):
        return self.launch(PARTS.parent / "exim4-daemon-light/usr/sbin/exim4", "-C", self.config, "-bdf", "-oX", self.address)

    def ready(self):
        return self.listens(self.address)

    def text(self):
        log = self.folder / "mainlog"
        return super().text() + (log.read_text(encoding="latin-1") if log.exists() else "")

    def finds(self, line):
        found = self.FOUND.search(line)
        if found:
            yield found[2], self.KINDS[found[1]]


class OpenSmtpd(Receiver, Process):
    """OpenSMTPD. It ends sessions that pipeline, and logs messages alone, with the recipients of each."""

    name = "opensmtpd"
    stepwise = True
    CONFIG = """\
queue ttl 1h
pki mx.example cert "{folder}/cert.pem"
pki mx.example key "{folder}/key.pem"
listen on {address} port 25 tls pki mx.example hostname mx.example
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

    ACCEPTED = b"250 2.1.5 Destination address valid: Recipient ok\r\n"

    def __init__(self, host, address):
        super().__init__(host)
        self.address, self.counted, self.peers = address, self.log, {}
        self.start_counting()
        for path in make_certificate(self.folder):
            path.chmod(0o600)
        self.config = self.folder / "smtpd.conf"
        self.config.write_text(self.CONFIG.format(address=address, folder=self.folder), encoding="ascii")
        self.config.chmod(0o600)

    def start(self):
        program = PARTS.parent / "opensmtpd/usr/sbin/smtpd"
        return self.launch("unshare", "--mount", "sh", "-ec", self.PLACES, "sh", program, "-d", "-f", self.config)

    def ready(self):
        return self.listens(self.address)

    def finds(self, line):
        session, _, what = line.partition(" smtp ")
        if what.startswith("connected address="):
            self.peers[session] = what.split("=", 1)[1].split()[0]
        elif what.startswith("message ") and session in self.peers:
            yield self.peers[session], "messages"

    def recipients(self, counts, replies):
        return replies.count(self.ACCEPTED)


def make(host, name):
    """The server of that name, on an address of its own."""
    makers = {
        "postfix-no": lambda address: PostfixReceiver(host, address, "no"),
        "postfix-normalize": lambda address: PostfixReceiver(host, address, "normalize"),
        "postfix-reject": lambda address: PostfixReceiver(host, address, "reject"),
        "exim": lambda address: Exim(host, address),
        "aiosmtpd": lambda address: Aiosmtpd(host, address),
        "opensmtpd": lambda address: OpenSmtpd(host, address),
    }
    return makers[name](f"127.0.0.{11 + names.SERVERS.index(name)}")
