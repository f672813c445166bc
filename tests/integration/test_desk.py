"""The desk over real HTTPS: who may do what, what is refused, and what it finds."""

import csv
import io
import itertools
import json
import re
import threading
import time
from urllib.parse import quote

import pytest

from tests.integration.wire import FREE, first_reply, send
from tests.lab import desk, leases
from tests.lab.process import wait_for
from tests.lab.web import HOST, URL

OFFICE = "10.20.200.1"
ROLES = ["viewer", "agent", "admin"]
# Each route of the desk: method, path, the least role. The log-in itself is for everybody.
ROUTES = [
    ("GET", "/desk", "viewer"),
    ("GET", "/desk/subscriber?id=10.20.66.6", "viewer"),
    ("GET", "/desk/search?q=10.20.66.6", "viewer"),
    ("GET", "/desk/pending", "viewer"),
    ("POST", "/desk/approve", "agent"),
    ("POST", "/desk/refuse", "agent"),
    ("POST", "/desk/logout", "viewer"),
    ("POST", "/desk/quarantine", "agent"),
    ("POST", "/desk/release", "agent"),
    ("GET", "/desk/feedback", "agent"),
    ("GET", "/desk/export/log?id=10.20.66.6", "agent"),
    ("GET", "/desk/export/tally?by=sessions", "agent"),
    ("GET", "/desk/audit", "admin"),
    ("GET", "/desk/export/audit", "admin"),
]


@pytest.fixture(name="web")
def web_fixture(site):
    """The site with an operator of each role, without a gate."""
    web = site()
    desk.add_operators(web)
    return web


def logged_in(web, name, source=OFFICE, password=None):
    browser = web.browser(source)
    answer = desk.log_in(browser, name, password)
    assert (answer.status, answer.header("Location")) == (303, f"{URL}/desk"), answer.words
    return browser


def csrf(browser):
    """The token of the forms that this operator sees."""
    return browser.get("/desk").form("/desk/logout")["csrf"]


def subscriber(browser, name="10.20.66.6", **query):
    query = "".join(f"&{key}={value}" for key, value in query.items())
    answer = browser.get(f"/desk/subscriber?id={name}{query}")
    assert answer.status == 200
    return answer


def standing(redis, name="10.20.66.6"):
    return redis.cli("hgetall", f"g25:standing:{{{name}}}")


# --- who may what --------------------------------------------------------------------------------


def test_every_route_is_in_this_test():
    """A route that nobody tests with each role is one that nobody has thought about."""
    with open("src/web/desk.c", encoding="utf-8") as file:
        source = file.read()
    rows = source[source.index("static const struct route routes[]"):]
    rows = [row.split(",") for row in rows[:rows.index("};")].splitlines() if "HTTP_" in row]
    known = {(row[0].strip(" {").removeprefix("HTTP_"), row[1].strip(' "'), row[2].strip().removeprefix("WHO_").lower())
             for row in rows}
    tested = {(method, path.split("?")[0], role) for method, path, role in ROUTES}
    assert known - tested == {("GET", "/desk/login", "anyone"), ("POST", "/desk/login", "anyone")}
    assert tested <= known


@pytest.mark.parametrize("method, path, least", ROUTES)
def test_each_role_at_each_route(web, method, path, least):
    stranger = web.browser(OFFICE)
    if method == "GET":
        answer = stranger.get(path)
        assert answer.status == 303 and answer.header("Location").startswith(f"{URL}/desk/login?to=/desk")
    else:
        stranger.get("/desk/login")
        assert stranger.post(path, {"csrf": stranger.get("/desk/login").form("/desk/login")["csrf"]}).status == 403
    for role in ROLES:
        browser = logged_in(web, role)
        if method == "GET":
            status = browser.get(path).status
        else:
            status = browser.post(path, {"csrf": csrf(browser), "id": "10.20.66.6"}).status
        if ROLES.index(role) < ROLES.index(least):
            assert status == 403, f"{role} at {path}"
        else:
            assert status in (200, 303, 409, 422), f"{role} at {path}"


def test_a_viewer_is_offered_no_action(web):
    shown = subscriber(logged_in(web, "viewer"))
    assert [form["action"] for form in shown.forms()] == ["/desk/logout"]
    assert "/desk/export" not in shown.text
    assert "/desk/quarantine" in [form["action"] for form in subscriber(logged_in(web, "agent")).forms()]


# --- log-in --------------------------------------------------------------------------------------


def test_log_in_and_out(web, site_redis):
    browser = web.browser(OFFICE)
    answer = browser.get("/desk/subscriber?id=10.20.66.6")
    assert answer.header("Location") == f"{URL}/desk/login?to=/desk/subscriber%3Fid%3D10.20.66.6"
    page = browser.get("/desk/login?to=/desk/subscriber%3Fid%3D10.20.66.6")
    answer = browser.submit(page, "/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"]})
    assert (answer.status, answer.header("Location")) == (303, f"{URL}/desk/subscriber?id=10.20.66.6")
    cookies = [value for name, value in answer.headers if name == "Set-Cookie"]
    assert all(value.startswith("__Host-") and "; Secure; HttpOnly; SameSite=" in value for value in cookies)
    assert browser.cookies["__Host-g25desk"] not in str(site_redis.cli("keys", "*"))
    assert browser.get("/desk").status == 200
    before = dict(browser.cookies)
    assert browser.post("/desk/logout", {"csrf": csrf(browser)}).status == 303
    browser.cookies = before
    assert browser.get("/desk").status == 303, "the session itself is gone, not the cookie alone"
    trail = [fields for _, fields in site_redis.cli("xrange", "g25:trail", "-", "+")]
    assert [(e["what"], e["by"], e["from"]) for e in trail if e["what"].startswith("log-")] == [
        ("log-in", "agent", OFFICE), ("log-out", "agent", OFFICE)]


@pytest.mark.parametrize("name, password", [
    ("agent", "wrong"), ("nobody", desk.PASSWORDS["agent"]), ("", ""), ("agent", ""), ("agent", "x" * 300),
    ("no such name at all!", "x"), ("sso", "-")])
def test_wrong_log_ins_are_answered_alike(web, name, password):
    web.redis.cli("hset", "g25:operators", "sso", "admin 1 -")
    browser = web.browser(OFFICE)
    answer = desk.log_in(browser, name, password)
    assert answer.status == 403 and "Name and password do not fit." in answer.words
    assert "__Host-g25desk" not in browser.cookies and browser.get("/desk").status == 303


def test_equal_time_whether_or_not_a_name_exists(web):
    """The same work is done: of some log-ins each, the quickest differ by less than the work itself takes."""
    desk.add_operator(web, "eve", "agent", "as gate25ctl makes them")

    def quickest(name):
        times = []
        for i in range(4):
            browser = web.browser(f"10.20.201.{i + 1 + 100 * (name == 'eve')}")
            page = browser.get("/desk/login")
            began = time.monotonic()
            assert browser.submit(page, "/desk/login", {"name": name, "password": "wrong"}).status == 403
            times.append(time.monotonic() - began)
        return min(times)

    known, unknown = quickest("eve"), quickest("nobody")
    assert min(known, unknown) > 0.02, "scrypt was at work"
    assert max(known, unknown) < 10 * min(known, unknown), "nothing beside that work takes so long"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/desk/../../x\\", "/deskevil",
                                    "/desk\\evil", "/", "/desk/%0d%0aX: y", "/desk/\r\nX-Evil: 1"])
def test_a_log_in_leads_nowhere_else(web, target):
    browser = web.browser(OFFICE)
    page = browser.get("/desk/login")
    answer = browser.submit(page, "/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"], "to": target})
    assert answer.status == 303 and answer.header("X-Evil") is None
    assert answer.header("Location").startswith(f"{URL}/desk")
    assert not answer.header("Location").startswith(f"{URL}/deskevil")


def test_guessing_is_slowed_down(web):
    browser = web.browser("10.20.202.1")
    statuses = []
    for _ in range(8):
        statuses.append(desk.log_in(browser, "agent", "wrong").status)
    assert statuses == [403] * 5 + [429] * 3
    answer = desk.log_in(browser, "agent")
    assert answer.status == 429 and int(answer.header("Retry-After")) > 0, "the right one waits as well"
    assert desk.log_in(web.browser("10.20.202.2"), "agent").status == 303, "others are not hindered"
    failed = [fields for _, fields in web.redis.cli("xrange", "g25:trail:failed", "-", "+")]
    assert len(failed) == 5 and failed[0]["from"] == "10.20.202.1"
    assert "failed log-in as agent from 10.20.202.1" in web.text()


def test_a_flood_of_log_ins_stops_nobody(web):
    """A dozen at once from as many lines: some are told to come back, and other pages are served meanwhile."""
    statuses = []

    def guess(i):
        browser = web.browser(f"10.20.203.{i + 1}")
        statuses.append(desk.log_in(browser, f"name{i}", "wrong").status)

    threads = [threading.Thread(target=guess, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    assert web.browser("10.20.3.3").get("/").status == 200
    for thread in threads:
        thread.join()
    # 503: on a machine that is very busy, one waits longer for its turn than a page may take.
    assert len(statuses) == 12 and set(statuses) <= {403, 429, 503} and statuses.count(403) >= 1
    sources = itertools.count(1)
    wait_for(lambda: desk.log_in(web.browser(f"10.20.205.{next(sources)}"), "agent").status == 303, 60)


def test_a_session_cannot_be_fixed(web):
    """What an attacker knew of the browser before the log-in is worth nothing after it."""
    browser = web.browser(OFFICE)
    planted = {"__Host-g25desk": "A" * 43, "__Host-g25": "B" * 43}
    browser.cookies = dict(planted)
    page = browser.get("/desk/login")
    assert browser.submit(page, "/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"]}).status == 303
    assert browser.cookies["__Host-g25desk"] != planted["__Host-g25desk"]
    assert browser.cookies["__Host-g25"] != planted["__Host-g25"]
    thief = web.browser("10.20.200.66")
    thief.cookies = planted
    assert thief.get("/desk").status == 303


def test_sessions_end(web, site_redis):
    """With a new password, with the operator, and with time."""
    browser = logged_in(web, "agent")
    key = site_redis.cli("keys", "g25:session:*")[0]
    assert 0 < site_redis.cli("ttl", key) <= 1800
    site_redis.cli("expire", key, "100")
    assert browser.get("/desk").status == 200
    assert site_redis.cli("ttl", key) > 1000, "it is renewed by use"
    site_redis.cli("expire", key, "100")
    assert browser.get("/desk", headers={"Sec-Fetch-Dest": "empty"}).status == 200
    assert site_redis.cli("ttl", key) <= 100, "but not by a page that refreshes itself"
    began = site_redis.cli("hget", key, "began")
    site_redis.cli("hset", key, "began", str(int(began) - 12 * 3600 - 1))
    assert browser.get("/desk").status == 303
    site_redis.cli("hset", key, "began", str(int(began) + 3600))
    assert browser.get("/desk").status == 303, "nor was it begun in the future"
    site_redis.cli("hset", key, "began", began)
    assert browser.get("/desk").status == 200
    record = site_redis.cli("hget", "g25:operators", "agent")
    role, since, kept = record.split(" ")
    site_redis.cli("hset", "g25:operators", "agent", f"{role} {int(since) + 5} {kept}")
    assert browser.get("/desk").status == 303
    site_redis.cli("hset", "g25:operators", "agent", record)
    assert browser.get("/desk").status == 200
    site_redis.cli("hset", "g25:operators", "agent", f"viewer {since} {kept}")
    assert browser.get("/desk/feedback").status == 403, "the role counts as it is now"
    site_redis.cli("hdel", "g25:operators", "agent")
    assert browser.get("/desk").status == 303


@pytest.mark.parametrize("action, fields, back", [
    ("/desk/quarantine", {"reason": "sends <b>spam</b>", "note": "Büro", "days": "9", "id": "10.20.66.6"},
     "/desk/subscriber?id=10.20.66.6"),
    ("/desk/release", {"reason": "cleaned", "note": "seen", "id": "2001:db8:20:700::/56"},
     "/desk/subscriber?id=2001:db8:20:700::/56"),
    ("/desk/refuse", {"reason": "no reverse DNS", "id": "10.20.66.6", "back": "25"}, "/desk/pending?from=25"),
    ("/desk/approve", {"id": "customer-17", "back": "subscriber"}, "/desk/subscriber?id=customer-17"),
])
def test_a_session_that_ends_in_mid_form(web, site_redis, action, fields, back):
    """Somebody is told that he was logged out, keeps what he typed, and is led back."""
    browser = logged_in(web, "agent")
    fields = {**fields, "csrf": csrf(browser), "seen": "", "version": "1"}
    site_redis.cli("del", *site_redis.cli("keys", "g25:session:*"))
    answer = browser.post(action, fields, headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"})
    assert answer.status == 403 and "You are logged out" in answer.words and "Nothing was done" in answer.words
    for name in ("id", "reason", "note"):
        assert fields.get(name, "") in answer.words
    assert "<b>spam" not in answer.text
    path = answer.text.split('<a class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    page = browser.get(path)
    answer = browser.submit(page, "/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"]})
    assert (answer.status, answer.header("Location")) == (303, URL + back)
    assert standing(site_redis) == {}


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://evil.example"},
                                     {"Origin": URL, "Sec-Fetch-Site": "cross-site"}])
def test_words_from_elsewhere_are_not_shown(web, headers):
    """Nobody writes on a page of the desk by sending a form to it from another site."""
    answer = web.browser(OFFICE).post("/desk/quarantine", {"id": "10.20.66.6", "reason": "call 0190-evil"}, headers=headers)
    assert answer.status == 403 and "You are logged out" in answer.words
    assert "evil" not in answer.text and "10.20.66.6" not in answer.text


def test_only_from_where_the_desk_is(site):
    web = site({"desk": {"from": ["10.20.200.0/24"]}})
    desk.add_operators(web)
    browser = logged_in(web, "agent")
    elsewhere = web.browser("10.20.66.6")
    assert [elsewhere.get(path).status for path in ("/desk", "/desk/login")] == [404, 404]
    assert elsewhere.post("/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"]}).status in (403, 404)
    elsewhere.cookies = dict(browser.cookies)
    assert elsewhere.get("/desk").status == 404


# --- single sign-on ------------------------------------------------------------------------------


def test_single_sign_on(site):
    web = site({"web": {"trusted-proxies": ["10.20.210.0/24"]}, "desk": {"sso-header": "X-Remote-User"}})
    desk.add_operators(web)
    proxy = web.browser("10.20.210.1", headers={"X-Forwarded-For": OFFICE, "X-Remote-User": "agent"})
    assert proxy.get("/desk").status == 200
    page = subscriber(proxy)
    answer = proxy.submit(page, "/desk/quarantine", {"reason": "spam", "days": "7"})
    assert answer.status == 303 and standing(web.redis)["by"] == "agent"
    proxy.headers["X-Remote-User"] = "stranger@isp.example"
    answer = proxy.get("/desk")
    assert answer.status == 403 and "stranger@isp.example" in answer.words
    proxy.headers["X-Remote-User"] = "viewer"
    assert proxy.get("/desk/feedback").status == 403
    del proxy.headers["X-Remote-User"]
    assert proxy.get("/desk").status == 303
    liar = web.browser("10.20.66.6", headers={"X-Forwarded-For": OFFICE, "X-Remote-User": "admin"})
    assert liar.get("/desk").status == 303, "anybody can send a header"


@pytest.mark.parametrize("names, said", [
    (["admin", "viewer"], "more than one name"), (["agent", "agent"], "more than one name"), (["", "admin"], "more than one"),
    (["agent, admin"], "agent, admin"), (["no such name!"], "no such name!")])
def test_a_proxy_names_one_operator(site, names, said):
    """A header that the proxy has not removed stands beside its own: neither counts."""
    web = site({"web": {"trusted-proxies": ["10.20.210.0/24"]}, "desk": {"sso-header": "X-Remote-User"}})
    desk.add_operators(web)
    headers = "".join(f"X-Remote-User: {name}\r\n" for name in names)
    raw = web.wrap(web.lab.subscribers.connect(web.address(4), source="10.20.210.1", port=web.port))
    with raw:
        raw.sendall(f"GET /desk HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {OFFICE}\r\n{headers}"
                    "Connection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 403 ") and "You are no operator here" in answer and said in answer
    assert ("X-Remote-User came twice" in web.text()) == (len(names) > 1)


def test_without_the_option_no_header_counts(site):
    web = site({"web": {"trusted-proxies": ["10.20.210.0/24"]}})
    desk.add_operators(web)
    proxy = web.browser("10.20.210.1", headers={"X-Forwarded-For": OFFICE, "X-Remote-User": "admin"})
    assert proxy.get("/desk").status == 303


# --- forms ---------------------------------------------------------------------------------------


def test_a_form_of_somebody_else(web):
    """CSRF: without the token, with another's, from another origin, in another form of body."""
    browser, other = logged_in(web, "agent"), logged_in(web, "admin", "10.20.200.2")
    fields = {**subscriber(browser).form("/desk/quarantine"), "reason": "spam", "days": "0"}
    tries = [
        ({**fields, "csrf": ""}, {}), ({key: value for key, value in fields.items() if key != "csrf"}, {}),
        ({**fields, "csrf": csrf(other)}, {}), (fields, {"Origin": "https://evil.example"}),
        (fields, {"Sec-Fetch-Site": "cross-site"}), (fields, {"Content-Type": "text/plain"}),
    ]
    for form, headers in tries:
        assert browser.post("/desk/quarantine", form, headers=headers).status in (400, 403)
        assert standing(web.redis) == {}
    assert browser.get("/desk/quarantine").status == 405
    # Log-in CSRF: the victim is not logged in as somebody else.
    assert web.browser(OFFICE).post("/desk/login", {"name": "agent", "password": desk.PASSWORDS["agent"]}).status == 403
    assert browser.post("/desk/quarantine", fields).status == 303


def test_a_forged_host(web):
    browser = logged_in(web, "agent")
    fields = {**subscriber(browser).form("/desk/quarantine"), "reason": "spam", "days": "0"}
    for headers in ({"Host": "evil.example"}, {"Host": HOST, "X-Forwarded-Host": "evil.example"}):
        page = browser.get("/desk", headers=headers)
        assert "evil.example" not in page.text
        assert web.browser(OFFICE).get("/desk", headers=headers).header("Location").startswith(f"{URL}/desk/login")
    answer = browser.post("/desk/quarantine", fields, headers={"Host": "evil.example"})
    assert "evil.example" not in (answer.header("Location") or "")


def test_quarantine_and_release(web, site_redis):
    browser = logged_in(web, "agent")
    answer = browser.submit(subscriber(browser), "/desk/quarantine",
                            {"reason": "sends spam", "note": "Büro, ticket 4711", "days": "7"})
    assert answer.header("Location") == f"{URL}/desk/subscriber?id=10.20.66.6&done=quarantined"
    held = standing(site_redis)
    assert (held["class"], held["by"], held["reason"], held["note"]) == (
        "quarantined", "agent", "sends spam", "Büro, ticket 4711")
    assert abs(int(held["until"]) - time.time() - 7 * 86400) < 600
    assert site_redis.cli("hget", "g25:standings", "10.20.66.6") == f"quarantined {held['until']}"
    page = subscriber(browser, done="quarantined")
    assert "Done" not in subscriber(browser, done="released").words, "an address line is not believed"
    for part in ("this subscriber is in quarantine. Gates know it", "sends spam", "Büro, ticket 4711", "quarantined as quarantined"):
        assert part in page.words
    answer = browser.submit(page, "/desk/release", {"reason": "cleaned", "note": ""})
    assert answer.header("Location").endswith("done=released")
    assert standing(site_redis) == {} and site_redis.cli("hexists", "g25:standings", "10.20.66.6") == 0
    changes = [fields for _, fields in site_redis.cli("xrange", "g25:changes", "-", "+")]
    assert [(change["verb"], change["by"], change["reason"]) for change in changes] == [
        ("quarantine", "agent", "sends spam"), ("release", "agent", "cleaned")]


@pytest.mark.parametrize("path", ["/desk/quarantine", "/desk/release"])
def test_what_has_changed_meanwhile_is_shown(web, site_redis, path):
    browser, other = logged_in(web, "agent"), logged_in(web, "admin", "10.20.200.2")
    browser.submit(subscriber(browser), "/desk/quarantine", {"reason": "first", "days": "0"})
    seen = subscriber(browser)
    other.submit(subscriber(other), "/desk/quarantine", {"reason": "second, by another", "days": "0"})
    answer = browser.submit(seen, path, {"reason": "what I typed", "note": "and this", "days": "3"})
    assert answer.status == 409
    for part in ("This has changed meanwhile", "second, by another"):
        assert part in answer.words
    assert 'value="what I typed"' in answer.text and 'value="and this"' in answer.text
    assert standing(site_redis)["reason"] == "second, by another"
    # The page brought the new state along: now it is an informed decision.
    assert browser.submit(answer, path, {"reason": "still", "days": "0"}).status == 303


def test_a_registration_is_not_released(web, site_redis):
    browser = logged_in(web, "agent")
    site_redis.cli("hset", "g25:standing:{10.20.0.25}", "class", "registered", "since", "5")
    page = subscriber(browser, "10.20.0.25")
    assert "/desk/release" not in [form["action"] for form in page.forms()]
    fields = page.form("/desk/quarantine")
    assert browser.post("/desk/release", {**fields, "reason": "x"}).status == 409
    assert standing(site_redis, "10.20.0.25")["class"] == "registered"


@pytest.mark.parametrize("fields, said", [
    ({"reason": ""}, "give a reason"), ({"reason": "x" * 201}, "up to 200 plain ASCII"),
    ({"reason": "Büro"}, "up to 200 plain ASCII"), ({"reason": "two\r\nlines"}, "up to 200 plain ASCII"),
    ({"reason": "x", "note": "two\nlines"}, "a note is one line"), ({"reason": "x", "note": "y" * 1001}, "a note is"),
    ({"reason": "x", "days": "soon"}, "from 1 to 3660, or 0"), ({"reason": "x", "days": "3661"}, "from 1 to 3660, or 0"),
    ({"reason": "x", "days": "-1"}, "from 1 to 3660, or 0"), ({"reason": "x", "days": ""}, "from 1 to 3660, or 0"),
    ({"reason": "x", "class": "registered"}, "is no quarantine"),
    ({"reason": "x", "class": "nonsense"}, "is no quarantine")])
def test_bad_input_is_told(web, site_redis, fields, said):
    browser = logged_in(web, "agent")
    answer = browser.submit(subscriber(browser), "/desk/quarantine", {"days": "7", **fields})
    assert answer.status == 422 and said in answer.words
    assert standing(site_redis) == {}


@pytest.mark.parametrize("name, said", [
    ("192.0.2.7", "is not of the subscribers’ address space, which is: 10.20.0.0/16 2001:db8:20::/48"),
    ("0.0.0.0/0", "is not of the subscribers’"), ("10.0.0.0/8", "is not of the subscribers’"), ("::/0", "is not of the"),
    ("10.20.41", "four numbers from 0 to 255"), ("10.20.41.007", "without leading zeros"), ("2001:db8:20", "is no address"),
    ("10.20.0.0/33", "from 0 to 32"), ("<b>", "An account is 1 to 63 letters"),
    ("two words", "An account is 1 to 63 letters"), ("x" * 64, "An account is 1 to 63 letters"), ("{x}", "An account is"),
    ("\u202ex", "An account is"), ("a\x00b", None)])
def test_who_is_no_subscriber(web, site_redis, name, said):
    """Neither looked at, nor changed, nor exported; and told what one is."""
    browser = logged_in(web, "admin")
    fields = {**subscriber(browser).form("/desk/quarantine"), "reason": "x", "days": "1", "id": name}
    answers = [browser.post(path, fields) for path in ("/desk/quarantine", "/desk/release")]
    if said:
        answers += [browser.get(f"/desk/{path}?id=" + quote(name)) for path in ("subscriber", "export/log")]
    for answer in answers:
        assert answer.status == (404 if said else 400)
        assert not said or said in answer.words
    assert site_redis.cli("exists", "g25:standings") == 0
    assert "export" not in [fields["what"] for _, fields in site_redis.cli("xrange", "g25:trail", "-", "+")]


def quarantined(browser, name, **fields):
    """Quarantines who has that page; the answer."""
    return browser.submit(subscriber(browser, name), "/desk/quarantine", {"reason": "spam", "days": "7", **fields})


@pytest.mark.parametrize("name, held", [
    ("2001:db8:20:4100::1", "2001:db8:20:4100::/56"), ("2001:db8:20:4100::1/128", "2001:db8:20:4100::/56"),
    ("2001:db8:20:41ff::/64", "2001:db8:20:41ff::/64"), ("10.20.66.6/32", "10.20.66.6")])
def test_an_address_stands_for_its_line(web, site_redis, name, held):
    """As with gate25ctl: the whole delegated prefix is the subscriber, not one host in it."""
    browser = logged_in(web, "agent")
    assert f"<h1 class=\"code\">{held}</h1>" in subscriber(browser, name).text
    assert quarantined(browser, name).status == 303
    assert list(site_redis.cli("hgetall", "g25:standings")) == [held]


def test_a_host_that_has_a_standing_can_lose_it(web, site_redis):
    host = "2001:db8:20:4100::1"
    site_redis.cli("hset", f"g25:standing:{{{host}}}", "class", "quarantined", "since", "5")
    site_redis.cli("hset", "g25:standings", host, "quarantined 0")
    site_redis.cli("xadd", "g25:changes", "*", "id", host, "class", "quarantined", "until", "0", "verb", "quarantine")
    browser = logged_in(web, "agent")
    page = wait_for(lambda: (page := subscriber(browser, host)) and f">{host}</h1>" in page.text and page, 20)
    assert browser.submit(page, "/desk/release", {"reason": ""}).status == 303
    assert site_redis.cli("exists", f"g25:standing:{{{host}}}", "g25:standings") == 0


@pytest.mark.parametrize("name, lines", [("10.20.0.0/16", 65536), ("10.20.5.0/24", 256), ("2001:db8:20::/48", 256),
                                         ("10.20.66.6", 1), ("2001:db8:20:4100::/56", 1)])
def test_many_lines_at_once_are_confirmed(web, site_redis, name, lines):
    browser = logged_in(web, "agent")
    page = subscriber(browser, name)
    assert (f"a prefix of {lines} lines" in page.words) == (lines > 1)
    assert ('name="wide"' in page.text) == (lines > 1)
    answer = quarantined(browser, name)
    if lines > 1:
        assert answer.status == 422 and f"{name} is {lines} lines" in answer.words and 'value="spam"' in answer.text
        assert site_redis.cli("exists", "g25:standings") == 0
        answer = browser.submit(answer, "/desk/quarantine", {"reason": "spam", "days": "7", "wide": "yes"})
    assert answer.status == 303 and list(site_redis.cli("hgetall", "g25:standings")) == [name]


def test_an_account_that_nobody_knows(web, site_redis):
    """It may come with the next lease, or be a slip of the pen."""
    browser = logged_in(web, "agent")
    assert "Nothing is known of an account of this name" in subscriber(browser, "account-4711").words
    assert quarantined(browser, "Account-4711").header("Location") == f"{URL}/desk/subscriber?id=account-4711&done=quarantined"
    page = subscriber(browser, "account-4711", done="quarantined")
    assert "holds nothing before a lease names it" in page.words and "within milliseconds" not in page.words
    site_redis.cli("xadd", "g25:log:{account-4711}", "*", "line", '{"event": "session"}')
    page = subscriber(browser, "account-4711", done="quarantined")
    assert "Nothing is known of an account" not in page.words and "within milliseconds" in page.words


# --- what strangers write ------------------------------------------------------------------------


XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{csrf}}"


def test_nothing_that_strangers_write_becomes_html(web, site_redis):
    """HELO, MAIL and the rest of the journal, reasons, notes, feedback, search words, names of operators."""
    line = {"time": "2026-11-28T17:42:23.123Z", "event": "refusal", "case": "CWF5T8D795", "id": "10.20.66.6",
            "client": "10.20.66.6:1", "server": XSS, "class": XSS, "verdict": "defer", "rule": XSS, "helo": XSS,
            "from": XSS, "to": XSS, "detail": XSS, "messages": 0}
    site_redis.cli("xadd", "g25:log:{10.20.66.6}", "*", "line", json.dumps(line))
    site_redis.cli("hset", "g25:standing:{10.20.66.6}", "class", XSS, "since", "5", "by", XSS, "reason", XSS, "note", XSS)
    site_redis.cli("xadd", "g25:changes", "*", "id", "10.20.66.6", "class", XSS, "verb", XSS, "by", XSS, "reason", XSS,
                   "note", XSS)
    site_redis.cli("xadd", "g25:trail", "*", "what", XSS, "by", XSS, "from", XSS, "about", XSS, "detail", XSS)
    site_redis.cli("xadd", "g25:feedback", "*", "id", XSS, "topic", XSS, "case", XSS, "contact", XSS, "words", XSS)
    site_redis.cli("hset", "g25:{leases}", "10.20.66.6", f"9999999999 5 ab {XSS}")
    site_redis.cli("zadd", f"g25:tally:{{{int(time.time()) // 3600}}}:sessions", "5", XSS)
    browser = logged_in(web, "admin")
    for path in ("/desk", "/desk/subscriber?id=10.20.66.6", "/desk/feedback", "/desk/audit", "/desk/audit?by=" + quote(XSS),
                 "/desk/search?q=" + quote(XSS), "/desk/subscriber?id=10.20.66.6&done=" + quote(XSS),
                 "/desk/subscriber?id=" + quote("<b>x"), "/desk/pending?id=" + quote(XSS) + "&done=" + quote(XSS),
                 "/desk/export/log?id=" + quote(XSS)):
        answer = browser.get(path)
        assert answer.status == (404 if "id=%3C" in path and "pending" not in path else 200)
        assert "alert" in answer.text or "done=" in path or "%3Cb%3E" in path, path
        assert "<script>alert" not in answer.text and "<img" not in answer.text and "<b>x" not in answer.text
        assert "script-src 'self'" in answer.header("Content-Security-Policy")
    login = web.browser(OFFICE).get("/desk/login?to=" + quote(XSS))
    assert "<script>alert" not in login.text


def test_a_spreadsheet_computes_nothing(web, site_redis):
    line = {"time": "2026-11-28T17:42:23.123Z", "event": "refusal", "helo": '=HYPERLINK("http://evil.example","x")',
            "from": "+1@x", "to": "@x", "detail": '-1"\r\n', "messages": 3}
    site_redis.cli("xadd", "g25:log:{10.20.66.6}", "*", "line", json.dumps(line))
    browser = logged_in(web, "agent")
    answer = browser.get("/desk/export/log?id=10.20.66.6&format=csv")
    assert answer.header("Content-Type") == "text/csv; charset=utf-8"
    assert answer.header("Content-Disposition") == 'attachment; filename="log.csv"'
    row = next(csv.DictReader(io.StringIO(answer.text)))
    assert (row["helo"], row["from"], row["to"], row["detail"], row["messages"], row["case"]) == (
        '\'=HYPERLINK("http://evil.example","x")', "'+1@x", "'@x", "'-1\"\r\n", "3", "")
    assert json.loads(browser.get("/desk/export/log?id=10.20.66.6").text) == [line]


@pytest.mark.parametrize("path, said", [
    ("log?id=10.20.66.6&format=xml", "allowed are format=json , which is also what comes without, and format=csv"),
    ("log?id=10.20.66.6&format=", "format=csv"), ("tally?by=sessions&format=CSV", "format=csv"),
    ("audit?format=xlsx", "no export as xlsx"), ("tally?by=bytes", "allowed are by=sessions , by=messages"),
    ("tally", "allowed are by=sessions"), ("log?id=8.8.8.8&format=csv", "is not of the subscribers’"),
    ("log", "An account is 1 to 63")])
def test_an_export_that_there_is_not(web, site_redis, path, said):
    answer = logged_in(web, "admin").get(f"/desk/export/{path}")
    assert answer.status == (404 if path.startswith("log") and "66.6" not in path else 400) and said in answer.words
    assert answer.header("Content-Disposition") is None
    assert [fields["what"] for _, fields in site_redis.cli("xrange", "g25:trail", "-", "+")] == ["log-in"]


# --- what it finds -------------------------------------------------------------------------------


@pytest.mark.parametrize("words, found", [
    ("10.20.66.6", "10.20.66.6"), (" 10.20.66.6 ", "10.20.66.6"), ("10.20.4.9", "10.20.4.0/24"),
    ("10.20.5.0/24", "10.20.5.0/24"), ("2001:db8:20:7ff::7", "2001:db8:20:700::/56"),
    ("[2001:db8:20:7ff::7]", "2001:db8:20:700::/56"), ("[2001:db8:20:7ff::7]:4711", "2001:db8:20:700::/56"),
    ("10.20.66.6:4711", "10.20.66.6"), ("cwf5t8d795", "10.20.66.6&case=CWF5T8D795#case"),
    ("case CWF5T8D795", "10.20.66.6&case=CWF5T8D795#case"), ("(Case: cwf5t8d795)", "10.20.66.6&case=CWF5T8D795#case"),
    ("Fall CWF5T8D795", "10.20.66.6&case=CWF5T8D795#case"), ("customer-17", "customer-17"), ("kunde_18", "kunde_18"),
    ("001b.4411.3ab7", "001b.4411.3ab7")])
def test_search_leads_to_the_subscriber(web, site_redis, words, found):
    site_redis.cli("xadd", "g25:cases:{CW}", "*", "case", "CWF5T8D795", "id", "10.20.66.6")
    site_redis.cli("hset", "g25:standing:{customer-17}", "class", "registered", "since", "5")
    site_redis.cli("xadd", "g25:log:{kunde_18}", "*", "line", "{}")
    site_redis.cli("xadd", "g25:log:{001b.4411.3ab7}", "*", "line", "{}")
    site_redis.cli("hset", "g25:standings", "10.20.4.0/24", "registered 0")
    site_redis.cli("xadd", "g25:changes", "*", "id", "10.20.4.0/24", "class", "registered", "until", "0", "verb", "set")
    browser = logged_in(web, "viewer")
    wait_for(lambda: browser.get("/desk/search?q=" + quote(words)).header("Location")
             == f"{URL}/desk/subscriber?id={found}", 20, "the search finds it")


@pytest.mark.parametrize("words, said", [
    ("192.0.2.7", "192.0.2.7 is not of the subscribers’ address space, which is: 10.20.0.0/16 2001:db8:20::/48"),
    ("10.0.0.0/8", "is not of the subscribers’"), ("[2001:db8::1]", "2001:db8::1 is not of the subscribers’"),
    ("ZZZZZZZZZZ", "No case ZZZZZZZZZZ is known any more"), ("nobody", "Nothing is known of nobody"),
    ("10.20.41", "10.20.41 is no address"), ("10.20.41.007", "without leading zeros"), ("10.20.41.256", "is no address"),
    ("2001:db8:20:7", "is no address"), ("10.20.0.0/33", "is no prefix"), ("{x}", "Nothing is known"),
    ("no.such.example", "Nothing is known"), ("case", "Nothing is known of case"), ("", "What can be searched for")])
def test_search_says_what_it_did_not_find(web, words, said):
    answer = logged_in(web, "viewer").get("/desk/search?q=" + quote(words))
    assert answer.status == 200 and said in answer.words
    assert f'value="{words}"' in answer.text


@pytest.mark.parametrize("words, left", [
    ("x" * 257, "x" * 256), ("ü" * 129, "ü" * 128), ("two\nlines", "twolines"), ("10.20.\u202e66.6", "10.20.66.6"),
    ("a\x7fb", "ab"), ("10.20.66.6\tx", "10.20.66.6x"), (b"\xffa\xc3", "a")])
def test_search_says_what_it_cannot_look_for(web, words, left):
    answer = logged_in(web, "viewer").get("/desk/search?q=" + quote(words))
    assert answer.status == 422 and "one line of up to 256 bytes" in answer.words
    assert f'value="{left}"' in answer.text, "what is left of it can be sent"


def test_the_whole_picture(lab, gate, site, site_redis, sink):
    """From a real gate: standing, meters, tally, log with its case, history, lease; and the overview."""
    sink()
    running = gate({"class ordinary": {"messages": ["2/1d"]}}, redis=site_redis)
    web = site({}, beside=running)
    desk.add_operators(web)
    for _ in range(4):
        send(lab, "10.20.66.6")
    leases.start(site_redis, "customer-17", "10.20.66.6")
    case = running.wait_journal(2, event="refusal")[0]["case"]
    wait_for(lambda: site_redis.cli("keys", "g25:tally:*:deferrals") and site_redis.cli("keys", "g25:cases:*"), 20)
    browser = logged_in(web, "agent")
    told = "Last 24 hours: 4 sessions, at most 4 in an hour"  # by one worker after the other
    overview = wait_for(lambda: (page := browser.get("/desk")) and told in page.text and page, 20, "all is told")
    assert 'aria-labelledby="list-deferrals"' in overview.text and "2 deferred or refused" in overview.text
    answer = browser.get(f"/desk/search?q={case.lower()}")
    assert answer.header("Location").endswith(f"&case={case}#case")
    page = browser.get(answer.header("Location").removeprefix(URL).split("#")[0])
    for part in ("Standing: ordinary", "customer-17", "0 of 2 left", "2 messages in 1 day", case, "me@home.example"):
        assert part in page.words, part
    assert page.text.count('id="case"') == 1
    running.ctl("quarantine", "10.20.66.6", "--reason", "by the command line", "--by", "root@noc")
    page = browser.get("/desk/subscriber?id=10.20.66.6")
    assert "by root@noc: by the command line" in page.words and "Standing: quarantined" in page.words
    exported = json.loads(browser.get("/desk/export/tally?by=deferrals").text)
    assert [(row["id"], row["sessions"], row["deferrals"]) for row in exported] == [("10.20.66.6", 4, 2)]


def test_a_case_among_many(lab, gate, site, site_redis, sink):
    """From a real gate: what stands for several is found by each of its cases, and exported with them."""
    sink()
    running = gate({"class ordinary": {"sessions": ["1/1h"]}, "intercept": {"workers": 1}}, redis=site_redis)
    web = site({}, beside=running)
    desk.add_operators(web)
    replies = [first_reply(lab, "10.20.66.6") for _ in range(40)]
    cases = [re.search(r"\(case (\w{10})\)", reply)[1] for reply in replies if reply.startswith("421 ")]
    agent, subscribers_own = logged_in(web, "agent"), web.browser("10.20.66.6")

    def exported():
        text = agent.get("/desk/export/log?id=10.20.66.6&format=csv").text
        rows = [row for row in csv.DictReader(io.StringIO(text)) if row["event"] == "refusal"]
        return sum(int(row["times"] or 1) for row in rows) == len(cases) and rows

    rows = wait_for(exported, 20, "all of them are in the log")
    assert len(rows) < len(cases) / 4
    assert [case for row in rows for case in (row["cases"] or row["case"]).split()] == cases
    assert all(row["since"] for row in rows if row["times"])
    assert re.search(r"\d+ times since 20\d\d-\d\d-\d\d", agent.get("/desk/subscriber?id=10.20.66.6").words)
    for case in cases:
        page = agent.get(f"/desk/subscriber?id=10.20.66.6&case={case}")
        assert page.text.count('id="case"') == 1
        found = re.search(r'<tr id="case" class="found" >.*?</tr>', page.text, re.DOTALL)[0]
        assert case in found
        assert case in subscribers_own.get(f"/activity?search={case}").words.partition("Case id")[2]
    # Whose a case is, the gate tells once a second.
    where = wait_for(lambda: agent.get(f"/desk/search?q={cases[1]}").header("Location"), 20, "the case is known")
    assert where.endswith(f"&case={cases[1]}#case")


def test_all_servers_of_several_are_told(web, site_redis):
    """On the page and in the table: whoever scans is shown by whom he asked."""
    line = {"time": "2026-11-28T17:42:23.123Z", "event": "refusal", "case": "CWF5T8D795", "server": "192.0.2.1:25",
            "verdict": "defer", "times": 3, "since": "2026-11-28T17:42:22.500Z",
            "cases": ["CWF5T8D795"], "servers": ["[2001:db8::1]:25", "192.0.2.1:25"]}
    site_redis.cli("xadd", "g25:log:{10.20.66.6}", "*", "line", json.dumps(line))
    browser = logged_in(web, "agent")
    words = browser.get("/desk/subscriber?id=10.20.66.6").words
    assert "192.0.2.1:25 and 1 other" in words and "[2001:db8::1]:25" in words
    row = next(csv.DictReader(io.StringIO(browser.get("/desk/export/log?id=10.20.66.6&format=csv").text)))
    assert row["servers"] == "[2001:db8::1]:25 192.0.2.1:25"


def test_the_gate_follows_the_desk(lab, gate, site, site_redis, sink):
    sink()
    running = gate(FREE, redis=site_redis)
    web = site({}, beside=running)
    desk.add_operators(web)
    browser = logged_in(web, "agent")
    browser.submit(subscriber(browser), "/desk/quarantine", {"reason": "sends spam", "days": "1"})
    reply = wait_for(lambda: (said := first_reply(lab, "10.20.66.6")).startswith("554 ") and said, 20)
    assert "sends spam" in reply
    browser.submit(subscriber(browser), "/desk/release", {"reason": "cleaned"})
    wait_for(lambda: first_reply(lab, "10.20.66.6").startswith("220 "), 20)


def test_the_audit_trail(web, site_redis):
    agent, admin = logged_in(web, "agent"), logged_in(web, "admin", "10.20.200.2")
    desk.log_in(web.browser("10.20.204.1"), "agent", "wrong")
    agent.submit(subscriber(agent), "/desk/quarantine", {"reason": "sends spam", "note": "4711", "days": "1"})
    agent.get("/desk/export/log?id=10.20.66.6&format=csv")
    desk.add_operator(web, "eve", "viewer", "as gate25ctl makes them")
    assert logged_in(web, "eve", password="as gate25ctl makes them").get("/desk").status == 200
    page = admin.get("/desk/audit")
    for part in ("agent from 10.20.200.1 logged in", "agent quarantined 10.20.66.6 Class: quarantined, until 20",
                 "Reason: sends spam Note: 4711",
                 "agent from 10.20.200.1 exported", "operator added", "as agent from 10.20.204.1"):
        assert part in page.words, part
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC agent quarantined", page.words), "to the second"
    assert "admin from" not in admin.get("/desk/audit?by=agent").words
    rows = list(csv.DictReader(io.StringIO(admin.get("/desk/export/audit?format=csv").text)))
    assert [row["what"] for row in rows] == ["log-in", "operator-add", "export", "quarantine", "log-in", "log-in"]
    assert rows[3]["by"] == "agent" and rows[3]["id"] == "10.20.66.6" and rows[3]["reason"] == "sends spam"
    exported = json.loads(admin.get("/desk/export/audit").text)
    assert len(exported) == len(rows) + 1, "the first export is in the second"


def test_the_trail_has_pages(web, site_redis):
    for i in range(250):
        site_redis.cli("xadd", "g25:changes", "*", "id", f"10.20.7.{i}", "class", "registered", "verb", "register")
    browser = logged_in(web, "admin")
    seen, path = [], "/desk/audit"
    for _ in range(10):
        page = browser.get(path)
        seen += [name for name in page.words.split() if name.startswith("10.20.7.")]
        older = [part.split('"')[0] for part in page.text.split('href="') if part.split(">")[1].startswith("Older")]
        if not older:
            break
        path = older[0].replace("&amp;", "&")
    assert seen == [f"10.20.7.{i}" for i in reversed(range(250))]


def test_feedback_reaches_the_desk(web):
    line = web.browser("10.20.66.6")
    page = line.get("/feedback")
    assert line.submit(page, "/feedback", {"topic": "objection", "words": "It is my server.\nReally.",
                                           "contact": "me@home.example", "case": "CWF5T8D795"}).status == 303
    read = logged_in(web, "agent").get("/desk/feedback")
    for part in ("Objection", "10.20.66.6", "It is my server. Really.", "me@home.example", "CWF5T8D795"):
        assert part in read.words


# --- when things are missing ---------------------------------------------------------------------


def test_without_redis_the_desk_says_so(web):
    browser = logged_in(web, "agent")
    page = subscriber(browser)
    web.redis.kill()
    assert browser.get("/desk").status == 503
    assert desk.log_in(web.browser(OFFICE), "agent").status == 503
    assert browser.submit(page, "/desk/quarantine", {"reason": "x", "days": "1"}).status == 503


def test_bad_configuration_is_told(lab, site_redis):
    from tests.lab.web import Web
    web = Web(lab, site_redis, {"desk": {"sso-header": "X-Remote-User"}})
    result = web.check()
    assert result.returncode == 1 and "desk.sso-header: nobody may send it; allowed: with web.trusted-proxies" in result.stderr
    web.configure({"desk": {"sso-header": "X Remote"}})
    assert "desk.sso-header" in web.check().stderr


def test_a_client_that_is_gone(web):
    """Whoever leaves during the comparison of a password leaves nothing behind that could be answered."""
    browser = web.browser(OFFICE)
    form = browser.get("/desk/login").form("/desk/login")
    raw = web.wrap(web.lab.subscribers.connect(web.address(4), source=OFFICE, port=web.port))
    body = f"csrf={form['csrf']}&name=agent&password=wrong&to=/desk"
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    raw.sendall((f"POST /desk/login HTTP/1.1\r\nHost: {HOST}\r\nCookie: {cookies}\r\n"
                 f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
    raw.close()
    wait_for(lambda: web.redis.cli("xlen", "g25:trail:failed") == 1 or web.browser(OFFICE).get("/desk/login").status == 200, 20)
    assert web.browser(OFFICE).get("/desk/login").status == 200
