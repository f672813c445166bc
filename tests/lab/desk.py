"""Operators for tests, and how they log in."""

import base64
import hashlib
import time

from . import gate as gate_module

PASSWORDS = {"viewer": "vera looks at it all", "agent": "anton acts on some", "admin": "ada reads the trail"}


def add_operator(web, name, role, password):
    """gate25ctl operator add, in the site's host and with a configuration that reaches its Redis as root does."""
    config = web.folder / "root.conf"
    sections = {**{key: value for key, value in web.sections.items() if key not in ("web", "desk")},
                "redis": {"url": web.redis.url}}
    config.write_text(gate_module.config_text(sections), encoding="utf-8")
    web.host.run(f"{gate_module.binaries()}/gate25ctl", "--config", config, "operator", "add", name, "--role", role,
                 input=password + "\n")


def quick_record(role, password):
    """What gate25ctl would write into g25:operators, with a hash that costs little: tests log in often."""
    def text(octets):
        return base64.b64encode(octets).decode().rstrip("=")
    salt = hashlib.sha256(role.encode()).digest()[:16]
    key = hashlib.scrypt(password.encode(), salt=salt, n=1 << 8, r=8, p=1, dklen=32)
    return f"{role} {int(time.time())} $scrypt$ln=8,r=8,p=1${text(salt)}${text(key)}"


def add_operators(web):
    """One of each role, called like the role."""
    for role, password in PASSWORDS.items():
        web.redis.cli("hset", "g25:operators", role, quick_record(role, password))


def log_in(browser, name, password=None):
    """A Browser of tests/lab/web.py, logged in; the answer to the log-in."""
    page = browser.get("/desk/login")
    return browser.submit(page, "/desk/login", {"name": name, "password": PASSWORDS[name] if password is None else password})
