"""gate25-web in a gate of the lab, with its certificate and the documented Redis rights."""

import contextlib
import html
import http.client
import http.cookies
import re
import ssl
import urllib.parse

from . import gate as gate_module
from . import sandbox, topology
from .certificate import make_certificate
from .daemon import Daemon, binaries, wrapper

HOST = "port25.isp.example"
URL = f"https://{HOST}"
PORT = 443
GARDEN_PORT = 8080
RIGHTS = topology.CONTRIB / "redis" / "gate25-web.acl"
PASSWORD = "lab-password"


def give_rights(redis):
    """Makes the user that the README documents, with its rights, and no others."""
    lines = [line for line in RIGHTS.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    words = " ".join(lines).replace("CHANGE-ME-gate25web", PASSWORD).split()
    assert words[0] == "user"
    redis.cli("acl", "setuser", words[1], "reset", *words[2:])
    return f"redis://{words[1]}:{PASSWORD}@127.0.0.1:{redis.port}"


class Answer:
    """An HTTP answer: status, headers (a list of pairs), body, and what is in it."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        """The values of a header, joined by commas; None without any."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def words(self):
        """The page's text without its tags, blanks made one."""
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", self.text)))

    def forms(self):
        """The page's forms: dicts with action, method and the hidden fields' values."""
        found = []
        for attributes, inner in re.findall(r"<form\b([^>]*)>(.*?)</form>", self.text, re.DOTALL):
            fields = {}
            for tag in re.findall(r"<input\b[^>]*>", inner):
                pairs = dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
                if pairs.get("type") == "hidden":
                    fields[pairs["name"]] = html.unescape(pairs["value"])
            pairs = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
            found.append({"action": html.unescape(pairs.get("action", "")), "method": pairs.get("method"),
                          "fields": fields})
        return found

    def form(self, action):
        """The hidden fields of the form with that action."""
        return next(form["fields"] for form in self.forms() if form["action"] == action)


class Browser:
    """Asks the site from one address, keeps cookies, and follows nothing by itself."""

    def __init__(self, web, source, host=None, headers=None):
        self.web, self.source = web, source
        self.host = host or web.lab.subscribers
        self.headers = headers or {}
        self.cookies = {}

    def request(self, method, path, form=None, headers=None, body=None):
        address = self.web.address(6 if ":" in (self.source or "") else 4)
        connection = http.client.HTTPConnection(address, self.web.port)
        raw = self.host.connect(address, source=self.source, port=self.web.port, timeout=60)
        connection.sock = self.web.wrap(raw)
        sent = {"Host": HOST, **self.headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent.update(headers or {})
        if form is not None:
            body = urllib.parse.urlencode(form)
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=sent)
            reply = connection.getresponse()
            answer = Answer(reply.status, reply.getheaders(), reply.read())
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                for key, morsel in http.cookies.SimpleCookie(value).items():
                    self.cookies[key] = morsel.value
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, form, **options):
        """Sends exactly these fields."""
        return self.request("POST", path, form=form, **options)

    def submit(self, page, action, fields=None, **options):
        """Fills the form with that action on the page (an Answer) and sends it."""
        return self.post(action, {**page.form(action), **(fields or {})}, **options)


class Web(Daemon):
    """gate25-web, running beside the gate `beside` where there is one (its standings, its SPF).

    `overrides` change single keys, as with Gate. `rights` False: as Redis's default user.
    """

    name = "web"

    def __init__(self, lab, redis, overrides=None, beside=None, rights=True, number=1, name=HOST, port=PORT):
        super().__init__(lab[f"gate{number}"])
        self.lab, self.number, self.port, self.server_name = lab, number, port, name
        self.redis = redis
        self.certificate, self.key = make_certificate(self.folder, name, "web-")
        self.config = self.folder / "gate25-web.conf"
        url = give_rights(redis) if rights else redis.url
        self.sections = dict(beside.sections) if beside else {
            "subscribers": {"prefixes": [topology.SUBSCRIBERS4, topology.SUBSCRIBERS6]},
            "class registered": {"action": "pass"},
            "class ordinary": {"action": "meter", "messages": ["10/1m", "200/1d"], "sessions": ["100/1m"],
                               "spread": ["20/1h"], "concurrent": 5},
            "class quarantined": {"action": "refuse"},
            "help": {"url": gate_module.HELP_URL},
        }
        self.sections["redis"] = {"url": url}
        self.sections["web"] = {
            "listen": [f"{self.address(4)}:{port}", f"[{self.address(6)}]:{port}"],
            "url": URL, "certificate": self.certificate, "key": self.key,
            "pages": sandbox.PROJECT / "conf" / "pages",
            # A test run asks more than a person does.
            "requests": "10000/1m", "posts": "10000/10m", "connections-each": 200,
        }
        self.configure(overrides or {})

    def address(self, family):
        link4, link6 = topology.LINKS[f"gate{self.number}"][1:]
        return f"{link6 if family == 6 else link4}2"

    def wrap(self, raw):
        """The client's end of TLS, where the site speaks it. The certificate is the site's own."""
        if not self.sections["web"].get("certificate"):
            return raw
        context = ssl.create_default_context(cafile=self.certificate)
        return context.wrap_socket(raw, server_hostname=self.server_name)

    def configure(self, overrides):
        for section, options in overrides.items():
            self.sections[section] = None if options is None else {**(self.sections.get(section) or {}), **options}
        self.config.write_text(gate_module.config_text(self.sections), encoding="utf-8")

    def start(self, *options, seconds=30):
        return self.launch_daemon(*wrapper(), f"{binaries()}/gate25-web", "--config", self.config, *options,
                                  seconds=seconds)

    def browser(self, source, **options):
        return Browser(self, source, **options)

    def check(self):
        """gate25-web --check: a CompletedProcess."""
        return self.host.run(f"{binaries()}/gate25-web", "--config", self.config, "--check", check=False)

    def denied(self):
        """What Redis denied the site's user: entries of its ACL log.

        Not that it did not know him: so it is with one that has just been restarted, until it is told.
        """
        log = [entry if isinstance(entry, dict) else dict(zip(entry[::2], entry[1::2]))
               for entry in self.redis.cli("acl", "log")]
        return [entry for entry in log if entry["username"] == "gate25-web" and entry["reason"] != "auth"]
