"""A real browser in a host of the lab: Chromium, driven by playwright-core (tests/browser/driver.mjs)."""

import json
import os
import signal
import subprocess

from . import process, sandbox
from .web import HOST, URL

MODULES = sandbox.PROJECT / ".parts" / "browser"
DRIVER = sandbox.PROJECT / "tests" / "browser" / "driver.mjs"
SCREENSHOTS = sandbox.PROJECT / "build" / "screenshots"
PICTURES = "GATE25_PICTURES"  # set: every page that is inspected leaves one, which takes a quarter of the tests' time
WAIT_MS = 120000
PHONE, DESKTOP = (360, 740), (1280, 900)
LOOKS = [(look, width, height, scheme) for look, (width, height) in (("phone", PHONE), ("desktop", DESKTOP))
         for scheme in ("light", "dark")]
TWO_LOOKS = [LOOKS[0], LOOKS[3]]  # for a page whose twin was looked at in all four


class BrowserFailed(Exception):
    """The browser could not do that."""


class Chromium:
    """Chromium in `host`, for which the site's name leads to the site `web`.

    `source` is the address that the host talks to the site from: of one subscriber after the other.
    """

    def __init__(self, host, web, source=None):
        self.host, self.web = host, web
        if source:
            self.come_from(source)
        family = 6 if source and ":" in source else 4
        target = f"[{web.address(6)}]" if family == 6 else web.address(4)
        self.folder = process.fresh_folder("chromium")
        port = "" if web.port == 443 else f":{web.port}"
        settings = {"hosts": f"MAP {HOST} {target}{port}", "wait_ms": WAIT_MS}
        environment = {**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder),
                       "XDG_CONFIG_HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder)}
        self.log = open(self.folder / "log", "ab")
        self.process = host.popen("node", DRIVER, MODULES, json.dumps(settings), stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=self.log, start_new_session=True, text=True,
                                  env=environment)
        self._read()

    def come_from(self, source):
        """From now on the host's connections to the site come from this address."""
        six = ":" in source
        family = "-6" if six else "-4"
        self.host.run("ip", family, "addr", "replace", f"{source}/{128 if six else 32}", "dev", "lo",
                      *(["nodad"] if six else []))
        link = self.host.run("ip", family, "route", "show", "default").stdout.split()[1:5]
        self.host.run("ip", family, "route", "replace", self.web.address(6 if six else 4), *link, "src", source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Ends driver and browser: a session of their own, by the number that we started."""
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.log.close()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            said = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            raise BrowserFailed(f"the browser is gone:\n{said[-4000:]}")
        return json.loads(line)

    def call(self, operation, **arguments):
        self.process.stdin.write(json.dumps({"operation": operation, **arguments}, default=str) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise BrowserFailed(answer["error"])
        return answer["value"]

    def page(self, width=DESKTOP[0], height=DESKTOP[1], scheme="light", script=True, language="en", headers=None):
        """A new tab of a browser of its own (no cookies)."""
        return Page(self, self.call("page", width=width, height=height, scheme=scheme, script=script,
                                    language=language, headers=headers or {}))


class Page:
    """One tab. `what` is a selector of Playwright: CSS, or text=, role=button[name="..."]."""

    def __init__(self, browser, name):
        self.browser, self.name = browser, name

    def call(self, operation, **arguments):
        return self.browser.call(operation, page=self.name, **arguments)

    def goto(self, path):
        """Opens a path of the site (or a whole URL); the status."""
        return self.call("goto", url=path if path.startswith("http") else URL + path)

    def click(self, what):
        self.call("click", what=what)

    def submit(self, what):
        """Clicks what sends a form; the status of the page that it leads to."""
        return self.call("submit", what=what)

    def fill(self, what, value):
        self.call("fill", what=what, value=value)

    def select(self, what, value):
        self.call("select", what=what, value=value)

    def check(self, what):
        self.call("check", what=what)

    def press(self, key):
        self.call("press", key=key)

    def focused(self):
        return self.call("focused")

    def text(self, what="main"):
        return self.call("text", what=what)

    def texts(self, what):
        return self.call("texts", what=what)

    def count(self, what):
        return self.call("count", what=what)

    def attribute(self, what, name):
        return self.call("attribute", what=what, name=name)

    def wait(self, what):
        self.call("wait", what=what)

    def url(self):
        return self.call("url")

    def cookies(self):
        return self.call("cookies")

    def evaluate(self, code):
        return self.call("evaluate", code=code)

    def shoot(self, name, wrong=False):
        """A picture of the whole page, where something is wrong or pictures are wanted: build/screenshots/NAME.png."""
        if wrong or os.environ.get(PICTURES):
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            self.call("shoot", file=SCREENSHOTS / f"{name}.png")

    def inspect(self, name, faults=(), looks=None):
        """The page at phone and desktop widths, in light and dark: nothing that axe-core finds, no sideways
        scrolling, no error in the console but known `faults`. Leaves a picture of what is wrong."""
        for look, width, height, scheme in looks or LOOKS:
            self.call("look", width=width, height=height, scheme=scheme)
            found, too_wide = self.call("axe"), self.call("wide") > 0
            self.shoot(f"{name}-{look}-{scheme}", wrong=found["violations"] or too_wide)
            assert found["passes"] > 5, found
            assert found["violations"] == [], f"{name} ({look}, {scheme}): {json.dumps(found, indent=1)}"
            assert not too_wide, f"{name} is wider than its window ({look})"
        seen = self.call("faults")
        assert all(any(known in fault for known in faults) for fault in seen), f"{name}: {seen}"
