"""The sign-up site over real HTTPS: who gets which page, what is refused, and how it fails."""

import concurrent.futures
import contextlib
import html
import http.client
import json
import os
import re
import resource
import shutil
import ssl
import time

import pytest

from tests.lab import gate as gate_module
from tests.lab.certificate import make_certificate
from tests.lab.proc import cpu_seconds
from tests.lab.process import StartFailed, wait_for
from tests.lab.web import GARDEN_PORT, HOST, URL, give_rights

LINE, OTHER, SIX = "10.20.3.3", "10.20.3.4", "2001:db8:20:300::3"
STRANGER = "192.0.2.7"
PROXY = "10.20.200.1"
BEHIND_PROXY = {"web": {"certificate": None, "key": None, "trusted-proxies": ["10.20.200.0/24"]}}
PAGES = ["/", "/activity", "/activity.json", "/quarantine", "/policy", "/feedback"]


def put_standing(redis, subject, kind="quarantined", since=None, until=0, reason="sends spam"):
    """As gate25ctl writes it."""
    since = since or int(time.time())
    redis.cli("hset", f"g25:standing:{{{subject}}}", "class", kind, "since", since, "until", until, "reason", reason,
              "by", "desk", "note", "internal remark")
    redis.cli("hset", "g25:standings", subject, f"{kind} {until}")
    redis.cli("xadd", "g25:changes", "*", "id", subject, "class", kind, "since", since, "until", until, "verb", "set",
              "by", "desk", "reason", reason)


def put_line(redis, subject, **fields):
    entry = {"time": "2026-11-28T10:00:00.000Z", "event": "refusal", "case": "0123456789", "id": subject,
             "client": f"{LINE}:1234", "server": "198.51.100.10:25", "class": "ordinary", "verdict": "defer",
             "rule": "messages:10/1m", "retry_after_s": 6, "helo": "pc.example", "from": "me@home.example",
             "messages": 0, "recipients": 0, "bytes_up": 17, **fields}
    redis.cli("xadd", f"g25:log:{{{subject}}}", "*", "line", json.dumps(entry))


def standing(redis, subject):
    return redis.cli("hget", "g25:standings", subject)


def quarantined_page(browser):
    """The page Quarantine, once the site knows of it."""
    wait_for(lambda: "is in quarantine" in browser.get("/quarantine").words, 20, "the page of a quarantined line")
    return browser.get("/quarantine")


# -- who gets what ---------------------------------------------------------------------------------


def test_every_page_over_both_families(site):
    web = site()
    for source in (LINE, SIX):
        browser = web.browser(source)
        for path in PAGES:
            answer = browser.get(path)
            assert answer.status == 200, path
            assert browser.request("HEAD", path).status == 200
            assert browser.request("HEAD", path).body == b""
        assert source in browser.get("/").words


def test_head_has_no_body(site):
    """On a connection that stays open the next answer begins where that to HEAD ends."""
    for overrides, source in (({}, LINE), (BEHIND_PROXY, PROXY)):
        web = site(overrides)
        with contextlib.closing(http.client.HTTPConnection(HOST)) as connection:
            connection.sock = raw_connection(web, source)
            for path, status in (("/policy", 200), ("/static/site.css", 200), ("/nowhere", 404)):
                lengths = []
                for method in ("HEAD", "GET", "HEAD"):
                    connection.request(method, path, headers={"Host": HOST, "X-Forwarded-For": LINE})
                    reply = connection.getresponse()
                    body = reply.read()
                    assert (reply.status, method == "HEAD") == (status, body == b""), (path, method)
                    lengths.append(int(reply.getheader("Content-Length")))
                assert lengths[0] == lengths[1] == lengths[2] > 0, path
        web.kill()


AMBIGUOUS = ["Host: a.example\r\nHost: b.example", "Host : a.example", "Host: a.example\r\nX : a",
             "Host: a.example\r\nContent-Length: 0\r\nContent-Length: 1",
             "Host: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked"]


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_requests_that_others_read_differently(site, headers):
    """They are refused, and nothing behind them is read."""
    with raw_connection(site()) as stream:
        stream.sendall(f"GET /policy HTTP/1.1\r\n{headers}\r\n\r\n0\r\n\r\n"
                       f"GET /policy HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: stream.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1 ") == 1, answer


def test_strangers(site):
    """An address that is no subscriber's gets the policy, and nothing else."""
    browser = site().browser(STRANGER)
    for path in PAGES:
        assert browser.get(path).status == (200 if path == "/policy" else 403), path
    assert "You are connected from 192.0.2.7" in browser.get("/").words


def test_what_is_not_there(site):
    browser = site().browser(LINE)
    for path in ("/nowhere", "/static/nothing.css", "/static/../en/home.html", "/static/%2e%2e/en/home.html",
                 "/static/", "//", "/home.html", "/desk/nothing"):
        assert browser.get(path).status == 404, path
    assert browser.post("/policy", {}).status == 405
    assert browser.post("/policy", {}).header("Allow") == "GET, HEAD"
    for method in ("PUT", "DELETE", "TRACE", "OPTIONS", "PATCH"):
        assert browser.request(method, "/").status in (400, 405, 501), method


def test_static_files(site):
    browser = site().browser(LINE)
    answer = browser.get("/static/site.css")
    assert answer.header("Content-Type") == "text/css; charset=utf-8"
    again = browser.get("/static/site.css", headers={"If-None-Match": answer.header("ETag")})
    assert (again.status, again.body) == (304, b"")


def test_headers_and_cookies(site):
    web = site()
    browser = web.browser(LINE)
    for path in [*PAGES, "/nowhere", "/static/site.css"]:
        answer = browser.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.header("Content-Security-Policy").split(";"))
        assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'" and policy["form-action"] == "'self'"
        assert policy["base-uri"] == "'none'" and "unsafe" not in answer.header("Content-Security-Policy")
        assert answer.header("Strict-Transport-Security").startswith("max-age=31536000")
        assert answer.header("X-Content-Type-Options") == "nosniff"
        assert answer.header("Cache-Control").startswith("public" if path.startswith("/static") else "no-store")
        # No script, style or handler within a page.
        assert "<style" not in answer.text and " style=" not in answer.text and " onclick" not in answer.text
    fresh = web.browser(LINE).get("/?lang=de")
    cookies = [value for name, value in fresh.headers if name.lower() == "set-cookie"]
    assert len(cookies) == 2
    for cookie in cookies:
        name, *attributes = [part.strip() for part in cookie.split(";")]
        assert name.startswith("__Host-")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(attributes)
        assert not any(part.startswith("Domain") for part in attributes)


def test_languages(site):
    web = site()
    assert 'lang="de"' in web.browser(LINE, headers={"Accept-Language": "de-CH, en;q=0.5"}).get("/").text
    assert 'lang="en"' in web.browser(LINE, headers={"Accept-Language": "fr"}).get("/").text
    browser = web.browser(LINE)
    assert 'lang="de"' in browser.get("/?lang=de").text
    assert 'lang="de"' in browser.get("/policy").text
    assert 'lang="de"' in browser.get("/policy?lang=../../etc").text


# -- forged requests -------------------------------------------------------------------------------


def language_link(answer, tag):
    found, = re.findall(rf'<a href="([^"]*)" lang="{tag}" hreflang', answer.text)
    return html.unescape(found)


def test_a_language_link_stays_on_the_page(site):
    """With all that its query says: a link that confirms, a filter, a subject."""
    browser = site().browser(LINE)
    for path in ("/", "/activity?show=refusals&search=a%26b%3D%22%C3%A4", "/confirm?token=" + "A" * 43,
                 "/feedback?topic=objection&case=0123456789"):
        page = browser.get(path)
        link = language_link(page, "de")
        assert link == path + ("&" if "?" in path else "?") + "lang=de"
        german = browser.get(link)
        assert german.status == 200 and 'lang="de"' in german.text
        assert language_link(german, "en") == link.replace("lang=de", "lang=en")
        browser.get(language_link(german, "en"))
    assert "0123456789" in german.text and 'value="objection" selected' in german.text
    # What is no page leads to one.
    assert language_link(browser.get("//evil.example/x?y=z"), "de").startswith("/?")


def test_a_language_link_keeps_what_is_typed(site, site_redis):
    browser = site().browser(LINE)
    typed = {"topic": "fault", "words": "Umläute\r\nand <b>", "contact": "x" * 201, "case": "ABC"}
    answer = browser.submit(browser.get("/feedback"), "/feedback", typed)
    assert answer.status == 422
    assert '<button class="link" form="page-form" formaction="/feedback?lang=de"' in answer.text
    assert '<form id="page-form" action="/feedback"' in answer.text
    for contact, status in (("x" * 201, 422), ("me@home.example", 200)):
        german = browser.post("/feedback?lang=de", {**answer.form("/feedback"), **typed, "contact": contact,
                                                    "action": "language"})
        assert german.status == status and 'lang="de"' in german.text
        assert html.escape(typed["words"], quote=False) in german.text and f'value="{contact}"' in german.text
    assert site_redis.cli("exists", "g25:feedback") == 0


def test_what_was_typed_outlives_a_refusal(site, site_redis):
    """A form that came too often, too late or in bad times can be sent again as it was; but not one that
    another site may have sent."""
    web = site({"web": {"posts": "2/1h"}})
    browser = web.browser(LINE, headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"})
    typed = {"topic": "question", "words": "a\r\n\"b\" <c>", "contact": "", "case": ""}
    page = browser.get("/feedback")
    browser.cookies.clear()
    expired = browser.submit(page, "/feedback", typed)
    assert expired.status == 403 and "has expired" in expired.words
    again = expired.form("/feedback")
    assert {name: again[name] for name in typed} == typed
    assert browser.post("/feedback", again).status == 303
    late = browser.post("/feedback", again)
    assert late.status == 429 and late.form("/feedback")["words"] == typed["words"]
    assert "2 in 1 hour" in late.words and re.search(r"can be sent in \d+ minutes", late.words)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        other = web.browser(OTHER, headers={"Origin": URL, **headers})
        answer = other.post("/feedback", {**typed, "csrf": "x"})
        assert answer.status == 403 and answer.forms() == [], headers
        other.cookies.clear()
        assert other.post("/feedback", typed).forms() == []
        assert other.post("/feedback", typed).forms() == []
        web.kill()
        web.start()
    browser = web.browser(LINE, headers={"Origin": URL})
    page = browser.get("/feedback")
    site_redis.stop()
    try:
        away = browser.submit(page, "/feedback", typed)
        assert away.status == 503 and away.form("/feedback")["words"] == typed["words"]
    finally:
        site_redis.cont()


def test_csrf(site, site_redis):
    """A release needs the token of this browser and this line, from a page of this site."""
    web = site()
    put_standing(site_redis, LINE)
    browser, thief = web.browser(LINE), web.browser(OTHER)
    page = quarantined_page(browser)
    good = page.form("/quarantine")
    thief.get("/")
    kept = dict(browser.cookies)
    stolen = thief.get("/feedback").form("/feedback")["csrf"]
    cases = [
        ({}, {}), ({**good, "csrf": ""}, {}), ({**good, "csrf": stolen}, {}), ({**good, "csrf": good["csrf"][:-1]}, {}),
        ({k: v for k, v in good.items() if k != "csrf"}, {}),
        (good, {"Origin": "https://evil.example"}), (good, {"Origin": "null"}),
        (good, {"Sec-Fetch-Site": "cross-site"}), (good, {"Sec-Fetch-Site": "same-site"}),
        (good, {"Cookie": ""}), (good, {"Cookie": f"__Host-g25={'A' * 43}"}),
    ]
    for fields, headers in cases:
        answer = browser.post("/quarantine", fields, headers=headers)
        assert answer.status == 403, (fields, headers)
        assert "Nothing was done" in answer.words
        browser.cookies = dict(kept)  # without a cookie one gets a new one
    # The same cookie and token from another line.
    thief.cookies = dict(browser.cookies)
    assert thief.post("/quarantine", good).status == 403
    # Not a form at all.
    assert browser.post("/quarantine", good, headers={"Content-Type": "text/plain"}).status == 400
    assert browser.get("/quarantine?" + "&".join(f"{k}={v}" for k, v in good.items())).status == 200
    assert standing(site_redis, LINE)
    assert browser.post("/quarantine", good, headers={"Origin": URL, "Sec-Fetch-Site": "same-origin"}).status == 303
    assert standing(site_redis, LINE) is None


def test_no_host_header_gets_anywhere(site, site_redis):
    web = site({"web": {"garden": [f"172.16.3.2:{GARDEN_PORT}"]}})
    put_standing(site_redis, LINE)
    browser = web.browser(LINE, headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example",
                                         "Forwarded": "host=evil.example"})
    for path in [*PAGES, "/nowhere"]:
        answer = browser.get(path)
        assert "evil" not in answer.text and "evil" not in str(answer.headers)
    page = quarantined_page(browser)
    answer = browser.submit(page, "/quarantine")
    assert answer.header("Location") == f"{URL}/quarantine?done=released"
    with web.lab.subscribers.connect("172.16.3.2", LINE, port=GARDEN_PORT) as plain:
        plain.sendall(b"GET http://evil.example/x HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        reply = plain.recv(4096)
    assert b"302" in reply and f"Location: {URL}/quarantine\r\n".encode() in reply
    assert b"evil" not in reply


def test_nobody_speaks_for_another_line(site, site_redis):
    """Whatever a request says: only the connection's own address counts."""
    web = site()
    put_standing(site_redis, OTHER)
    put_line(site_redis, OTHER, client=f"{OTHER}:1", case="OTHERSCASE")
    claims = {"X-Forwarded-For": OTHER, "X-Real-IP": OTHER, "Forwarded": f"for={OTHER}", "Client-IP": OTHER,
              "True-Client-IP": OTHER}
    wait_for(lambda: "is in quarantine" in web.browser(OTHER).get("/quarantine").words, 20, "the other's standing")
    browser = web.browser(LINE, headers=claims)
    for path in PAGES:
        answer = browser.get(f"{path}?id={OTHER}&address={OTHER}&subscriber={OTHER}")
        assert "OTHERSCASE" not in answer.text and "sends spam" not in answer.text
        assert OTHER not in answer.words
    csrf = browser.get("/feedback").form("/feedback")["csrf"]
    since = site_redis.cli("hget", f"g25:standing:{{{OTHER}}}", "since")
    answer = browser.post("/quarantine", {"csrf": csrf, "since": since, "id": OTHER, "address": OTHER})
    assert answer.header("Location") == f"{URL}/quarantine?done=changed"
    assert standing(site_redis, OTHER)
    assert site_redis.cli("keys", "g25:released*") == []


def test_hostile_texts_stay_texts(site, site_redis):
    """What subscribers, servers and operators write shows as it is, and is never markup."""
    web = site()
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
    put_standing(site_redis, LINE, reason=evil)
    put_line(site_redis, LINE, helo=evil, case="<b>case</b>", server=evil, to=evil, **{"from": evil})
    browser = web.browser(LINE)
    pages = [quarantined_page(browser), browser.get("/"), browser.get("/activity"),
             browser.get("/activity?search=%3Cscript%3E%22"), browser.get("/feedback?case=%22%3E%3Cscript%3Ex"),
             browser.get("/feedback?topic=%3Cscript%3E")]
    for page in pages:
        assert page.status == 200
        assert page.text.count("<script") == 1  # the site's own
        assert "<img" not in page.text and "<b>case" not in page.text
    assert evil in pages[0].words or "alert(1)" in pages[0].words
    assert json.loads(browser.get("/activity.json").body)[0]["from"] == evil
    csrf = browser.get("/feedback").form("/feedback")["csrf"]
    again = browser.post("/feedback", {"csrf": csrf, "topic": evil, "words": evil, "contact": evil, "case": evil})
    assert again.status == 422 and again.text.count("<script") == 1
    # The desk's remarks and who decided are not for the subscriber's eyes.
    for page in pages:
        assert "internal remark" not in page.text


# -- the quarantine --------------------------------------------------------------------------------


def test_releases_are_counted(site, site_redis):
    web = site({"web": {"self-releases": 2}})
    browser = web.browser(LINE)
    for left in (2, 1):
        put_standing(site_redis, LINE, since=1700000000 + left)
        page = quarantined_page(browser)
        assert f"{left} more time" in page.words
        answer = browser.submit(page, "/quarantine")
        assert answer.status == 303 and answer.header("Location").endswith("done=released")
        wait_for(lambda: "is not in quarantine" in browser.get("/quarantine").words, 20, "released")
        old = page
    put_standing(site_redis, LINE, since=1700000009)
    page = quarantined_page(browser)
    assert page.forms() == [] or all(form["action"] != "/quarantine" for form in page.forms())
    assert "Write to the desk" in page.words
    # Nor by hand.
    fields = {**old.form("/quarantine"), "since": "1700000009"}
    assert browser.post("/quarantine", fields).header("Location").endswith("done=spent")
    assert standing(site_redis, LINE) == "quarantined 0"
    released = site_redis.cli("hgetall", f"g25:released:{{{LINE}}}")
    assert sorted(released) == ["1700000001", "1700000002"]
    changes = [fields for _, fields in site_redis.cli("xrange", "g25:changes", "-", "+") if fields["class"] == ""]
    assert [(change["verb"], change["by"]) for change in changes] == [("release", "subscriber")] * 2


def test_a_release_is_told_only_where_it_was(site, site_redis):
    """Whatever the address says that somebody was sent to."""
    web = site({"web": {"self-releases": 1}})
    browser = web.browser(LINE)
    assert "is released" not in browser.get("/quarantine?done=released").words
    assert "not yours to make" not in browser.get("/quarantine?done=spent").words
    put_standing(site_redis, LINE)
    page = quarantined_page(browser)
    assert "not yours to make" not in browser.get("/quarantine?done=spent").words
    assert browser.submit(page, "/quarantine").status == 303
    assert "is released" in browser.get("/quarantine?done=released").words
    put_standing(site_redis, LINE, since=int(time.time()) + 1)
    quarantined_page(browser)
    assert "not yours to make" in browser.get("/quarantine?done=spent").words
    assert "is released" not in browser.get("/quarantine?done=released").words


def test_an_old_release_counts_no_more(site, site_redis):
    web = site({"web": {"self-releases": 1, "release-period": "1h"}})
    site_redis.cli("hset", f"g25:released:{{{LINE}}}", "1600000000", int(time.time()) - 3601)
    put_standing(site_redis, LINE)
    browser = web.browser(LINE)
    page = quarantined_page(browser)
    assert "1 more time within 1 hour" in page.words
    assert browser.submit(page, "/quarantine").header("Location").endswith("done=released")
    assert site_redis.cli("hlen", f"g25:released:{{{LINE}}}") == 1


def test_a_button_pressed_often_costs_one_release(site, site_redis):
    web = site({"web": {"self-releases": 3}})
    put_standing(site_redis, LINE)
    browser = web.browser(LINE)
    page = quarantined_page(browser)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: browser.submit(page, "/quarantine"), range(8)))
    assert all(answer.status == 303 for answer in answers)
    assert sum(answer.header("Location").endswith("done=released") for answer in answers) == 1
    assert site_redis.cli("hlen", f"g25:released:{{{LINE}}}") == 1
    assert standing(site_redis, LINE) is None


def test_a_release_ends_only_what_was_seen(site, site_redis):
    """The desk has quarantined the line anew since the page was opened: that quarantine stays."""
    web = site()
    put_standing(site_redis, LINE, since=1700000001)
    browser = web.browser(LINE)
    page = quarantined_page(browser)
    put_standing(site_redis, LINE, since=1700000002, reason="again")
    answer = browser.submit(page, "/quarantine")
    assert answer.header("Location").endswith("done=changed")
    assert standing(site_redis, LINE) == "quarantined 0"
    assert "has changed meanwhile" in browser.get("/quarantine?done=changed").words


def test_a_quarantine_of_many_lines_is_nobodys_own(site, site_redis):
    """A standing over a wider prefix: each sees it and his own log, and cannot end it."""
    web = site()
    put_standing(site_redis, "10.20.3.0/24")
    put_line(site_redis, "10.20.3.0/24", client=f"{LINE}:1", case="MINEMINE00")
    put_line(site_redis, "10.20.3.0/24", client=f"{OTHER}:1", case="NOTMINE000")
    browser = web.browser(LINE)
    page = quarantined_page(browser)
    assert "covers other lines beside yours" in page.words
    csrf = browser.get("/feedback").form("/feedback")["csrf"]
    since = site_redis.cli("hget", "g25:standing:{10.20.3.0/24}", "since")
    assert browser.post("/quarantine", {"csrf": csrf, "since": since}).status == 303
    assert standing(site_redis, "10.20.3.0/24") == "quarantined 0"
    for path in ("/", "/activity", "/activity.json"):
        text = browser.get(path).text
        assert "MINEMINE00" in text and "NOTMINE000" not in text


def test_no_releases_at_all(site, site_redis):
    web = site({"web": {"self-releases": 0}})
    put_standing(site_redis, LINE)
    assert "Only the desk can end this quarantine" in quarantined_page(web.browser(LINE)).words


def test_ended_standings_are_none(site, site_redis):
    put_standing(site_redis, LINE, until=1)
    assert "is not in quarantine" in site().browser(LINE).get("/quarantine").words


# -- activity, policy, feedback --------------------------------------------------------------------


def test_activity_filters_and_pages(site, site_redis):
    web = site()
    for number in range(120):
        put_line(site_redis, LINE, case=f"CASE{number:06}", event="session" if number % 2 else "refusal",
                 server=f"198.51.100.{number % 100}:25")
    site_redis.cli("xadd", f"g25:log:{{{LINE}}}", "*", "line", "no JSON at all")
    site_redis.cli("xadd", f"g25:log:{{{LINE}}}", "*", "other", "field")
    browser = web.browser(LINE)
    page, seen = browser.get("/activity"), []
    while True:
        seen += [f"CASE{n:06}" for n in range(120) if f"CASE{n:06}" in page.text]
        older = re.findall(r'href="([^"]*)">Older ones', page.text)
        if not older:
            break
        page = browser.get(older[0].replace("&amp;", "&"))
    assert len(seen) == 120 and len(set(seen)) == 120
    assert len(json.loads(browser.get("/activity.json").body)) == 120
    lower = json.loads(browser.get("/activity.json?search=case000007").body)
    assert [line["case"] for line in lower] == ["CASE000007"]
    refusals = json.loads(browser.get("/activity.json?show=refusals").body)
    assert len(refusals) == 60 and {entry["event"] for entry in refusals} == {"refusal"}
    assert [entry["case"] for entry in json.loads(browser.get("/activity.json?search=CASE000077").body)] == ["CASE000077"]
    download = browser.get("/activity.json")
    assert download.header("Content-Disposition") == 'attachment; filename="activity.json"'
    assert download.header("Content-Type") == "application/json"
    for odd in ("from=+-", "from=%0d%0aKEYS", "show=nonsense", "search=%00", "search=%ff", "%", "from=" + "9" * 400):
        assert browser.get(f"/activity?{odd}").status == 200


REPEATED = {"times": 57, "since": "2026-11-28T09:59:59.100Z", "cases": ["AAAAAAAAAA", "BBBBBBBBBB", "CCCCCCCCCC"],
            "case": "CCCCCCCCCC", "rule": "sessions:3/1h"}
SERVERS = ["[2001:db8:ffff::9]:25", "192.0.2.25:25", "198.51.100.10:25"]  # the last is the line's own


def test_what_stands_for_several_is_told_so(site, site_redis):
    """How many, since when, and each case: found by search, and counted."""
    web = site()
    put_line(site_redis, LINE)
    put_line(site_redis, LINE, **REPEATED)
    put_line(site_redis, LINE, **{**REPEATED, "event": "session", "times": 2, "cases": ["DDDDDDDDDD", "EEEEEEEEEE"],
                                  "case": "EEEEEEEEEE"})
    browser = web.browser(LINE)
    page = browser.get("/activity")
    assert "57 times since 2026-11-28 09:59:59 UTC" in page.words and "CCCCCCCCCC and 2 others" in page.words
    assert "EEEEEEEEEE and 1 other" in page.words and "<details open" not in page.text
    for case in REPEATED["cases"]:
        page = browser.get(f"/activity?search={case.lower()}")
        assert case in page.words and "DDDDDDDDDD" not in page.words and "0123456789" not in page.words
        assert ("<details open" in page.text) == (case != "CCCCCCCCCC"), "what was looked for is seen"
        line, = json.loads(browser.get(f"/activity.json?search={case}").body)
        assert {name: line[name] for name in REPEATED} == REPEATED
    page = browser.get("/activity?search=FFFFFFFFFF")
    assert "Nothing with “FFFFFFFFFF”" in page.words and "may take a second" in page.words
    assert "not every case id is kept" in page.words and "all its case ids" not in page.words
    german = web.browser(LINE, headers={"Accept-Language": "de"}).get("/activity?search=FFFFFFFFFF").words
    assert "nicht jede Fallnummer" in german and "allen Fallnummern" not in german
    home = browser.get("/").words
    assert "57 times since 2026-11-28 09:59:59 UTC" in home and "CCCCCCCCCC and 2 others" in home
    put_standing(site_redis, LINE)
    seen = quarantined_page(browser).words
    assert "Held back 58" in seen and "Connections 2" in seen and "From 2026-11-28 10:00:00 UTC" in seen


def test_all_servers_of_several_are_told(site, site_redis):
    """Who spreads or scans is shown by them: each is found, and counted."""
    web = site()
    put_line(site_redis, LINE, server="203.0.113.7:25")
    put_line(site_redis, LINE, **REPEATED, servers=SERVERS)
    put_line(site_redis, LINE, **{**REPEATED, "case": "DDDDDDDDDD", "cases": ["DDDDDDDDDD"]}, servers=SERVERS[1:])
    browser = web.browser(LINE)
    for path in ("/activity", "/"):
        words = browser.get(path).words
        assert "198.51.100.10:25 and 2 others" in words and "198.51.100.10:25 and 1 other" in words
    page = browser.get("/activity")
    assert "203.0.113.7:25 and" not in page.words and "<details open" not in page.text
    page = browser.get("/activity?search=2001:DB8:ffff::9")
    assert SERVERS[0] in page.words and "203.0.113.7" not in page.words and "DDDDDDDDDD" not in page.words
    assert page.text.count("<details open") == 1, "the servers, not the cases"
    assert len(json.loads(browser.get("/activity.json?search=192.0.2.25").body)) == 2
    put_standing(site_redis, LINE)
    assert "Mail servers 4" in quarantined_page(browser).words


@pytest.mark.parametrize("odd", [{"times": "x"}, {"times": -1}, {"times": 3, "since": None, "cases": "x"},
                                 {"times": 3, "since": 7, "cases": [1, None, {}, "A"]}, {"cases": {"a": "b"}},
                                 {"times": 3, "servers": [1, None, {}, "A"]}, {"servers": {"a": "b"}}])
def test_odd_repeats_break_no_page(site, site_redis, odd):
    browser = site().browser(LINE)
    put_line(site_redis, LINE, **odd)
    for path in ("/", "/activity", "/activity?search=a", "/activity.json?search=a", "/quarantine"):
        assert browser.get(path).status == 200


def test_the_policy_is_the_configuration(gate, site, site_redis):
    running = gate({"class ordinary": {"messages": ["7/1h"], "bytes": ["100M/1d"], "concurrent": 5, "enforce": False},
                    "class slow": {"action": "meter", "sessions": ["3/2m"], "over": "refuse", "starttls": "refuse"}},
                   redis=site_redis)
    web = site({"web": {"since": "2026-11-01", "review": "2027-05-01", "decides": "The <desk>", "contact": "+43 1"}},
               beside=running)
    words = web.browser(STRANGER).get("/policy").words
    for said in ("7 messages in 1 hour", "100 MB of data in 1 day", "5 connections at once", "3 connections in 2 minutes",
                 "2026-11-01", "2027-05-01", "The <desk>", "+43 1", "only noted at present", "STARTTLS is refused",
                 "Passes untouched", "mail is refused", "Counted by the gate"):
        assert said in words, said
    web.configure({"class ordinary": {"messages": ["9/1h"]}})
    web.signal(1)
    wait_for(lambda: "9 messages in 1 hour" in web.browser(STRANGER).get("/policy").words, 20, "the new policy")


def test_the_policy_is_compared_with_the_gate_s(gate, site, site_redis):
    """The page is made of the site's configuration; where the gate works by another one, it says so."""
    first = gate({"class ordinary": {"messages": ["10/1h"]}}, redis=site_redis)
    web = site(beside=first)
    browser = web.browser(LINE)
    assert "says the same as that of the gate" in browser.get("/policy").words
    web.configure({"class ordinary": {"messages": ["9/1h"]}})
    web.signal(1)
    wait_for(lambda: "the gate works with other limits" in browser.get("/policy").words, 20, "the page to say so")
    browser.get("/policy")
    assert web.text().count("warning: the gate works by other classes, limits") == 1
    web.configure({"class ordinary": {"messages": ["10/1h"]}})
    web.signal(1)
    wait_for(lambda: "says the same as that of the gate" in browser.get("/policy").words, 20, "them to agree")
    first.kill()
    words = browser.get("/policy").words
    assert "made of the configuration of this site." in words and "other limits" not in words


def test_the_policy_tells_of_the_helo_name(site):
    for use, said in (("refuse", "So is mail of a program that gives a name (HELO)"),
                      ("meter", "So does mail of a program that gives a name (HELO)")):
        web = site({"spf": {"use": use}})
        assert said in web.browser(LINE).get("/policy").words
        web.kill()


def test_feedback(site, site_redis):
    browser = site().browser(SIX)
    page = browser.get("/feedback")
    good = {"topic": "question", "words": "Where is\r\nmy mail? ä€", "contact": "me@home.example", "case": "ABC"}
    for change, said in (({"topic": "x"}, "choose what it is about"), ({"words": "  "}, "write something"),
                         ({"words": "x" * 4001}, "too long"), ({"words": "\x1b[2J"}, "no text"),
                         ({"contact": "a\r\nb"}, "Up to 200 characters"), ({"case": "x" * 65}, "up to 64 characters")):
        answer = browser.submit(page, "/feedback", {**good, **change})
        assert answer.status == 422 and said in answer.words, change
        assert "me@home.example" in answer.text or "contact" in change
    assert site_redis.cli("exists", "g25:feedback") == 0
    assert browser.submit(page, "/feedback", good).status == 303
    (_, entry), = site_redis.cli("xrange", "g25:feedback", "-", "+")
    assert entry == {**good, "id": "2001:db8:20:300::/56", "address": SIX, "language": "en"}


# -- floods, slow clients, shortage ----------------------------------------------------------------


def test_rate_limits(site, site_redis):
    web = site({"web": {"requests": "30/1h", "posts": "3/1h"}})
    browser = web.browser(LINE)
    page = browser.get("/feedback")
    statuses = [browser.submit(page, "/feedback", {"topic": "praise", "words": "good"}).status for _ in range(5)]
    assert statuses == [303, 303, 303, 429, 429]
    assert site_redis.cli("xlen", "g25:feedback") == 3
    statuses = [browser.get("/policy").status for _ in range(30)]
    assert statuses[0] == 200 and statuses[-1] == 429
    answer = browser.get("/")
    assert answer.status == 429 and 60 < int(answer.header("Retry-After")) <= 3600
    # An address of the same IPv6 network is the same subscriber; another line is not.
    assert web.browser(OTHER).get("/").status == 200
    six = web.browser(SIX)
    while six.get("/").status == 200:
        pass
    assert web.browser("2001:db8:20:300::4").get("/").status == 429
    assert web.browser("2001:db8:20:400::4").get("/").status == 200


def raw_connection(web, source=LINE):
    return web.wrap(web.lab.subscribers.connect(web.address(4), source, port=web.port, timeout=60))


def is_cut(ask):
    """Whether the request was refused; the site closes without reading the rest, which may reset the connection
    before the client has read why."""
    try:
        return ask().status in (400, 413, 414, 431)
    except (OSError, http.client.HTTPException):
        return True


def test_sizes_are_bounded(site):
    web = site()
    browser = web.browser(LINE)
    assert is_cut(lambda: browser.get("/?" + "x" * 20000))
    assert is_cut(lambda: browser.get("/", headers={"X-Long": "x" * 20000}))
    assert is_cut(lambda: browser.post("/feedback", {"words": "x" * 40000}))
    assert browser.get("/?" + "x" * 8000).status == 200
    with raw_connection(web) as connection:  # a length that is only claimed
        connection.sendall(f"POST /feedback HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 99999999\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4096)
    assert browser.get("/").status == 200


def test_slow_requests_end(site):
    """A byte now and then does not keep a connection: the deadline is for the whole request."""
    web = site({"web": {"deadline": "2s"}})
    with raw_connection(web) as connection:
        begun = time.monotonic()
        with pytest.raises((OSError, EOFError)):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            while time.monotonic() - begun < 60:
                connection.sendall(b"X: y\r\n")
                connection.settimeout(0.2)
                with contextlib.suppress(TimeoutError):
                    if connection.recv(100) == b"":
                        raise EOFError
    # Nobody begins a handshake.
    with web.lab.subscribers.connect(web.address(4), LINE, port=web.port, timeout=60) as silent:
        assert silent.recv(100) == b""
    # Nor reads the answers.
    with raw_connection(web) as deaf:
        with contextlib.suppress(OSError):
            for _ in range(2000):
                deaf.sendall(f"GET /policy HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        wait_for(lambda: closed(deaf), 60, "the connection of who does not read is closed")
    assert web.browser(LINE).get("/").status == 200


def closed(connection):
    connection.settimeout(0.05)
    try:
        while connection.recv(65536):
            pass
        return True
    except (TimeoutError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def test_connections_are_bounded(site):
    """Each address has its share, and who takes more does not keep others out."""
    web = site({"web": {"connections-each": 5, "connections": 50}})
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(web.lab.subscribers.connect(web.address(4), LINE, port=web.port, timeout=60))
                for _ in range(12)]
        wait_for(lambda: sum(closed(connection) for connection in held) == 7, 30, "all but five are closed")
        assert web.browser(OTHER).get("/").status == 200
    wait_for(lambda: answers(web), 30, "its share is free again")


def answers(web):
    with contextlib.suppress(OSError):
        return web.browser(LINE).get("/").status == 200
    return False


def test_too_many_connections_wait(site):
    web = site({"web": {"connections-each": 100, "connections": 10, "deadline": "3s"}})
    with contextlib.ExitStack() as stack:
        for number in range(30):
            stack.enter_context(web.lab.subscribers.connect(
                web.address(4), f"10.20.7.{number + 1}", port=web.port, timeout=60))
        # Ten are in, and silent; the others wait, and come in as the deadline ends those.
        assert web.browser(OTHER).get("/").status == 200


def test_without_descriptors(site):
    """The site rests instead of spinning, and goes on when there are some again."""
    web = site({"web": {"connections-each": 1000, "connections": 1000}})
    limits = resource.prlimit(web.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{web.pid}/fd"))
    resource.prlimit(web.pid, resource.RLIMIT_NOFILE, (used + 5, limits[1]))
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(web.lab.subscribers.connect(web.address(4), LINE, port=web.port, timeout=60))
        wait_for(lambda: "resting" in web.text(), 30, "it says so")
        before = cpu_seconds(web.pid)
        time.sleep(1)
        assert cpu_seconds(web.pid) - before < 0.5
        assert web.text().count("resting") < 100
    resource.prlimit(web.pid, resource.RLIMIT_NOFILE, limits)
    assert web.browser(LINE).get("/").status == 200


def test_noise(site):
    """What is no HTTP does no harm."""
    web = site()
    for noise in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 1000, os.urandom(3000),
                  b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                  b"POST /feedback HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"):
        for connect in (raw_connection, lambda w: w.lab.subscribers.connect(w.address(4), LINE, port=w.port, timeout=60)):
            with contextlib.suppress(OSError), connect(web) as connection:
                connection.sendall(noise)
                connection.settimeout(0.5)
                connection.recv(4096)
    assert web.browser(LINE).get("/").status == 200


# -- Redis away ------------------------------------------------------------------------------------


def test_redis_away(site, site_redis):
    """Pages that need it say so, with 503; the policy and the texts are there; and it comes back by itself."""
    web = site()
    browser = web.browser(LINE)
    form = browser.get("/feedback").form("/feedback")
    for away in (site_redis.stop, site_redis.kill):
        away()
        for path in ("/", "/activity", "/activity.json", "/quarantine"):
            answer = browser.get(path)
            assert answer.status == 503, path
            assert "Nothing was done" in answer.words
        assert browser.get("/policy").status == 200
        assert browser.get("/feedback").status == 200
        answer = browser.post("/feedback", {**form, "topic": "praise", "words": "good"})
        assert answer.status == 503
    site_redis.start()
    give_rights(site_redis)
    wait_for(lambda: browser.get("/").status == 200, 30, "the site is back")
    assert browser.post("/feedback", {**form, "topic": "praise", "words": "good"}).status == 303


# -- behind a proxy --------------------------------------------------------------------------------


def test_behind_a_proxy(site):
    """Plain HTTP from the trusted proxy alone, and the address that the proxy names."""
    web = site({"web": {"certificate": None, "key": None, "trusted-proxies": ["10.20.200.0/24"]}})
    proxy = web.browser("10.20.200.1")
    answer = proxy.get("/", headers={"X-Forwarded-For": LINE})
    assert answer.status == 200 and LINE in answer.words
    assert answer.header("Set-Cookie").startswith("__Host-g25=") and "; Secure;" in answer.header("Set-Cookie")
    # A client may have written something in front; only the proxy's own word counts.
    answer = proxy.get("/", headers={"X-Forwarded-For": f"{OTHER}, {LINE}"})
    assert OTHER not in answer.words and LINE in answer.words
    for wrong in ("", "nonsense", f"{LINE}, nonsense", "unknown"):
        assert proxy.get("/", headers={"X-Forwarded-For": wrong}).status == 400
    assert proxy.get("/").status == 400
    # Nobody else, whatever he says.
    assert web.browser(OTHER).get("/", headers={"X-Forwarded-For": LINE}).status == 403
    assert proxy.get("/", headers={"X-Forwarded-For": STRANGER}).status == 403


def test_two_forwarded_headers_are_one(site):
    """A second header of that name is not overlooked: what stands last counts."""
    web = site({"web": {"certificate": None, "key": None, "trusted-proxies": ["10.20.200.0/24"]}})
    with web.lab.subscribers.connect(web.address(4), "10.20.200.1", port=web.port, timeout=60) as connection:
        connection.sendall(f"GET / HTTP/1.0\r\nX-Forwarded-For: {OTHER}\r\nX-Forwarded-For: {LINE}\r\n\r\n".encode())
        text = b""
        while more := connection.recv(65536):
            text += more
    assert LINE.encode() in text and OTHER.encode() not in text


# -- configuration ---------------------------------------------------------------------------------


def copy_pages(web, tmp_path):
    pages = tmp_path / "pages"
    shutil.copytree(web.sections["web"]["pages"], pages)
    return pages


def test_check_says_where(site, tmp_path):
    web = site()
    assert web.check().returncode == 0
    pages = copy_pages(web, tmp_path)
    web.configure({"web": {"pages": pages}})
    assert web.check().returncode == 0
    home = (pages / "en" / "home.html").read_text(encoding="utf-8")
    cases = [
        ("en/home.html", home + "\n{{#never}}", "en/home.html:", "{{never}} is not closed"),
        ("de/home.html", "<p {{a}}>", "de/home.html:1:", "stands in a tag"),
        ("en/home.html", "{{>nowhere}}", "en/home.html:1:", "is not there"),
        ("en/home.html", None, "en/home.html:1:", "is missing"),
        ("en/layout.html", None, "en/layout.html:1:", "is missing"),
        ("en/words.txt", "no word", "en/words.txt:1:", "is no word"),
        ("en/home.html", "{{>home}}", "en/home.html:1:", "includes itself"),
        ("static/program.exe", "x", "static/program.exe:1:", "is of a kind that is not sent"),
    ]
    for name, text, where, what in cases:
        file = pages / name
        before = file.read_text(encoding="utf-8") if file.exists() else None
        if text is None:
            file.unlink()
        else:
            file.write_text(text, encoding="utf-8")
        result = web.check()
        assert result.returncode == 1, name
        assert where in result.stderr and what in result.stderr, result.stderr
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")
    (pages / "de" / "home.html").unlink()  # English stands in
    assert web.check().returncode == 0
    web.configure({"web": {"certificate": "/nowhere.pem"}})
    assert "/nowhere.pem cannot be used" in web.check().stderr


@pytest.mark.parametrize("options, said", [
    ({"url": None}, "web.url: is missing"),
    ({"url": "http://x.example"}, "web.url:"),
    ({"url": "https://x.example/path"}, "web.url:"),
    ({"key": None}, "web.key: is missing"),
    ({"certificate": None, "key": None}, "trusted-proxies"),
    ({"languages": ["de", "en"]}, "does not begin with"),
    ({"languages": ["en", "english"]}, "web.languages:"),
    ({"listen": ["nonsense"]}, "web.listen:"),
    ({"listen": None}, "there is no site"),
    ({"review": "2027-02-30"}, "is no date"),
    ({"requests": "often"}, "web.requests:"),
    ({"decides": "\u0007"}, "web.decides:"),
    ({"nonsense": "x"}, 'key "nonsense" is unknown in web'),
])
def test_bad_options(site, options, said):
    web = site()
    web.configure({"web": options})
    result = web.check()
    assert result.returncode == 1 and said in result.stderr, result.stderr
    assert f"{web.config}:" in result.stderr


def test_its_own_configuration_is_the_default(site):
    """Without --config it is the site's own file that is read, not the gate's."""
    web = site()
    program = f"{gate_module.binaries()}/gate25-web"
    assert "default /etc/gate25/gate25-web.conf" in web.host.run(program, "--help").stdout
    result = web.host.run(program, "--check", check=False)
    assert result.returncode == 1 and "/etc/gate25/gate25-web.conf" in result.stderr, result.stderr


def test_a_circle_is_told_where_it_is(site, tmp_path):
    web = site()
    pages = copy_pages(web, tmp_path)
    web.configure({"web": {"pages": pages}})
    done = pages / "en" / "done.html"
    done.write_text(done.read_text(encoding="utf-8") + "\n{{>refusal}}\n", encoding="utf-8")
    for _ in range(3):  # whatever the order in the folder
        checked = web.check()
        assert checked.returncode == 1
        assert re.search(r"en/(done\.html:2: \{\{>refusal|refusal\.html:2: \{\{>done)", checked.stderr), checked.stderr
        assert "includes itself in the end" in checked.stderr


def test_reload(site, tmp_path):
    """SIGHUP takes new pages and a new certificate; bad ones change nothing."""
    web = site()
    pages = copy_pages(web, tmp_path)
    web.configure({"web": {"pages": pages}})
    home = pages / "en" / "home.html"
    text = home.read_text(encoding="utf-8")
    home.write_text(text.replace("Your line and port 25", "Another title"), encoding="utf-8")
    web.signal(1)
    wait_for(lambda: "Another title" in web.browser(LINE).get("/").words, 20, "the new page")
    home.write_text("{{#never}}", encoding="utf-8")
    web.signal(1)
    wait_for(lambda: "not reloaded" in web.text(), 20, "it says so")
    assert f"{home}:1: {{{{never}}}} is not closed" in web.text()
    assert "Another title" in web.browser(LINE).get("/").words
    home.write_text(text, encoding="utf-8")
    old = web.certificate.read_bytes()
    make_certificate(web.folder, HOST, "web-")
    assert web.certificate.read_bytes() != old
    web.signal(1)
    wait_for(lambda: answers(web), 20, "the new certificate")


def test_two_sites_on_one_port(site, site_redis):
    site()
    with pytest.raises(StartFailed, match="cannot listen on"):
        site()
