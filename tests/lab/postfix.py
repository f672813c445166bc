"""A real Postfix: a mail server that keeps what it gets, or a customer's server that sends."""

import contextlib
import email
import os
import re
import subprocess

from . import sandbox
from .certificate import make_certificate
from .process import PARTS, Process, wait_for

SERVICES = """\
postlog   unix-dgram n - n - 1 postlogd
pickup    unix n - n 1 1 pickup
cleanup   unix n - n - 0 cleanup
qmgr      unix n - n 1 1 qmgr
tlsmgr    unix - - n 1000? 1 tlsmgr
tlsproxy  unix - - n - 0 tlsproxy
rewrite   unix - - n - - trivial-rewrite
bounce    unix - - n - 0 bounce
defer     unix - - n - 0 bounce
trace     unix - - n - 0 bounce
verify    unix - - n - 1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n - - proxymap
smtp      unix - - n - - smtp
relay     unix - - n - - smtp
showq     unix n - n - - showq
error     unix - - n - - error
retry     unix - - n - - error
discard   unix - - n - - discard
virtual   unix - n n - - virtual
anvil     unix - - n - 1 anvil
scache    unix - - n - 1 scache
"""
QUEUE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid",
         "private", "public", "saved", "trace")


class Postfix(Process):
    """Postfix from .parts, without chroot or DNS. Takes an ordinary user's whole subuid range.

    As a server it listens on port 25 of `addresses` and keeps mail for `domains` (mx.example when it
    has no relay); see messages().
    As a client `sends_from` is its outbound address for each family and `relay` the server that all
    other mail goes to; see send(). `settings` are further lines of main.cf.
    """

    name = "postfix"

    def __init__(self, host, addresses=(), domains=None, sends_from=(), relay=None, name="mx.example",
                 starttls=False, tls_client="may", settings=None):
        super().__init__(host)
        self.addresses = [addresses] if isinstance(addresses, str) else list(addresses)
        self.sends_from = [sends_from] if isinstance(sends_from, str) else list(sends_from)
        self.conf, self.queue, self.inbox = (self.folder / part for part in ("conf", "queue", "inbox"))
        self.maillog = self.folder / "maillog"
        self.environment = {"PATH": sandbox.PATH, "LD_LIBRARY_PATH": str(PARTS / "usr/lib/postfix"),
                            "MAIL_CONFIG": str(self.conf)}
        self._make_folders()
        if domains is None:
            domains = () if relay else ("mx.example",)
        self._write_config(domains, relay, name, starttls, tls_client, settings or {})

    def _make_folders(self):
        uid, group = sandbox.ACCOUNTS["postfix"], sandbox.ACCOUNTS["postdrop"]
        vmail = sandbox.ACCOUNTS["vmail"]
        for folder in (self.conf, self.queue, self.folder / "data", self.inbox):
            folder.mkdir()
        for name in QUEUE:
            (self.queue / name).mkdir(mode=0o700)
            os.chown(self.queue / name, 0 if name == "pid" else uid, 0)
        (self.queue / "pid").chmod(0o755)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            os.chown(self.queue / name, uid, group)
            (self.queue / name).chmod(mode)
        os.chown(self.folder / "data", uid, 0)
        os.chown(self.inbox, vmail, vmail)

    def _write_config(self, domains, relay, name, starttls, tls_client, settings):
        vmail = sandbox.ACCOUNTS["vmail"]
        main = {
            "compatibility_level": "3.6",
            "daemon_directory": PARTS / "usr/lib/postfix/sbin",
            "command_directory": PARTS / "usr/sbin",
            "shlib_directory": PARTS / "usr/lib/postfix",
            "queue_directory": self.queue,
            "data_directory": self.folder / "data",
            "maillog_file": self.maillog,
            "maillog_file_prefixes": self.folder,
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C",
            "export_environment": "MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C",
            "myhostname": name,
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "inet_interfaces": "loopback-only",
            "inet_protocols": "all",
            "alias_maps": "",
            "alias_database": "",
            "virtual_mailbox_domains": " ".join(domains),
            "virtual_mailbox_base": self.inbox,
            "virtual_mailbox_maps": "static:new/",
            "virtual_uid_maps": f"static:{vmail}",
            "virtual_gid_maps": f"static:{vmail}",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtpd_peername_lookup": "no",
            "smtpd_client_connection_rate_limit": 0,
            "smtpd_client_connection_count_limit": 0,
            "smtp_dns_support_level": "disabled",
            "smtp_host_lookup": "native",
            "smtp_tls_security_level": tls_client,
            "smtp_address_preference": "any",
            "minimal_backoff_time": "2s",
            "maximal_backoff_time": "5s",
            "queue_run_delay": "2s",
            "relayhost": f"[{relay}]" if relay else "",
        }
        for address in self.sends_from:
            main["smtp_bind_address6" if ":" in address else "smtp_bind_address"] = address
        if starttls:
            certificate, key = make_certificate(self.conf, name)
            main |= {"smtpd_tls_security_level": "may", "smtpd_tls_cert_file": certificate,
                     "smtpd_tls_key_file": key}
        main |= settings
        self.conf.joinpath("main.cf").write_text(
            "".join(f"{key} = {value}\n" for key, value in main.items()), encoding="ascii")
        # Postfix waits while its configuration is younger than a few seconds.
        os.utime(self.conf / "main.cf", (0, 0))
        listeners = "".join(f"[{address}]:25 inet n - n - - smtpd\n" for address in self.addresses)
        self.conf.joinpath("master.cf").write_text(listeners + SERVICES, encoding="ascii")

    def start(self):
        if not sandbox.many_users():
            raise sandbox.SandboxError("Postfix needs users of its own: an entry for this user in /etc/subuid")
        return self.launch(PARTS / "usr/lib/postfix/sbin/master", "-c", self.conf, "-d", env=self.environment)

    def ready(self):
        # Sockets are made in the order of master.cf; the log comes some seconds later.
        return (self.queue / "private" / "scache").exists()

    def text(self):
        return super().text() + self.maillog_text()

    def maillog_text(self):
        with contextlib.suppress(FileNotFoundError):
            return self.maillog.read_text(encoding="utf-8", errors="backslashreplace")
        return ""

    def wait_maillog(self, pattern, seconds=20):
        """The match of the regular expression in the maillog, once there is one."""
        return wait_for(lambda: re.search(pattern, self.maillog_text()), seconds,
                        f"{pattern} in the maillog:\n{self.tail()}")

    def clients(self):
        """The client addresses that connected, in order, from the maillog."""
        return re.findall(r"smtpd\[\d+\]: connect from \S*\[([^]]+)\]", self.maillog_text())

    def messages(self):
        """The messages that it keeps, oldest first, as email.message.Message."""
        files = sorted((self.inbox / "new").glob("new/*"), key=lambda file: file.stat().st_mtime_ns)
        return [email.message_from_bytes(file.read_bytes()) for file in files]

    def wait_messages(self, count, seconds=20):
        wait_for(lambda: len(self.messages()) >= count, seconds, f"{count} messages:\n{self.tail()}")
        return self.messages()

    def send(self, recipient, sender="owner@customer.example", subject="lab", body="Hello.\n"):
        """Hands it a message, as a program on the same machine would; it is queued when this returns."""
        text = f"From: {sender}\nTo: {recipient}\nSubject: {subject}\n\n{body}"
        self.host.run(PARTS / "usr/sbin/sendmail", "-C", self.conf, "-i", "-f", sender, recipient, input=text,
                      env=self.environment)

    def flush(self):
        """Tries what is deferred again, now."""
        subprocess.run(self.host.command(PARTS / "usr/sbin/postqueue", "-c", self.conf, "-f"), check=True,
                       env=self.environment)
