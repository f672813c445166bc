#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "svc/conf_file.h"
#include "svc/conf_warnings.h"

#define SECOND 1000000ull
#define GOOD                                                                                       \
    "subscribers { prefixes = { \"192.0.2.0/24\" } }\n"                                            \
    "class ordinary { action = \"meter\" sessions = { \"30/1m\" } }\n" /* two lines */

struct fixture {
    char folder[32];
    char file[64];
    char message[2048];
    struct text error;
};

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    if (!f) {
        return -1;
    }
    strcpy(f->folder, "/tmp/gate25-conf-XXXXXX");
    if (!mkdtemp(f->folder)) {
        free(f);
        return -1;
    }
    snprintf(f->file, sizeof(f->file), "%s/test.conf", f->folder);
    *state = f;
    return 0;
}

static int drop_fixture(void **state)
{
    struct fixture *f = *state;

    unlink(f->file);
    rmdir(f->folder);
    free(f);
    return 0;
}

static struct conf *read_bytes(struct fixture *f, struct span content)
{
    FILE *stream = fopen(f->file, "w");

    assert_non_null(stream);
    assert_int_equal(fwrite(content.at, 1, content.len, stream), content.len);
    assert_int_equal(fclose(stream), 0);
    text_init(&f->error, f->message, sizeof(f->message));
    return conf_file_read(f->file, &f->error);
}

static struct conf *read_text(struct fixture *f, const char *content)
{
    return read_bytes(f, span_of(content));
}

/* "FILE:LINE: " in front, and every word of `words` (they are separated by "|") behind. */
static void assert_message(const struct fixture *f, int line, const char *words)
{
    char start[128], copy[512], *rest = copy;

    snprintf(start, sizeof(start), "%s:%d: ", f->file, line);
    snprintf(copy, sizeof(copy), "%s|; allowed: ", words);
    if (strncmp(f->message, start, strlen(start)) != 0) {
        fail_msg("expected %s%s, got: %s", start, words, f->message);
    }
    for (char *word = strsep(&rest, "|"); word; word = strsep(&rest, "|")) {
        if (!strstr(f->message, word)) {
            fail_msg("expected \"%s\" in: %s", word, f->message);
        }
    }
    assert_null(strchr(f->message, '\n'));
    assert_false(f->error.cut);
}

static const struct {
    const char *content;
    int line;
    const char *words;
} bad_files[] = {
    /* The syntax */
    {"", 1, "subscribers.prefixes|missing"},
    {GOOD "}\n", 3, "unexpected closing brace"},
    {GOOD "redis {\n  when-down = \"pass\"\n", 5, "premature end of file"},
    {GOOD "redis {\n  when-down = \"pass\n}\n\n", 7, "premature end of file"},
    {GOOD "redis {\n  when-down = \"pass\"", 5, "premature end of file in redis"},
    {GOOD "redis { }\n/* open\n\n", 4, "a comment has no end|/* ... */"},
    {GOOD "redis { when-down = \"pass\" # }\n\n", 5, "premature end of file in redis"},
    {GOOD "redis {", 4, "premature end of file in redis"},
    {GOOD "redis", 4, "opening brace"},
    {GOOD "redis {\n  url = 'unix:/r\n}\n", 6, "unterminated string"},
    {GOOD "\n# one\n// two\n/* three\nfour */ redis {\n url \"unix:/r\" }\n", 8, "equal sign|url"},
    {GOOD "redis when-down = \"pass\"\n", 3, "opening brace|redis"},
    {GOOD "class { action = \"pass\" }\n", 3, "title|class NAME"},
    {GOOD "redis { url = { \"unix:/r\" } }\n", 3, "unexpected token '{'"},
    {GOOD "redis { url += \"unix:/r\" }\n", 3, "append to non-list option 'url'"},
    {GOOD "class a { action = \"meter\" sessions = { \"1/1s\" \"2/2s\" } }\n", 3,
     "unexpected token"},
    {GOOD "redis { url = \"\\777\" }\n", 3, "octal"},
    /* Lines are counted right, whatever stands on them */
    {GOOD "# c\nx {}\n", 4, "\"x\""},
    {GOOD "// c\n//c\n\n#\n##\nx {}\n", 8, "\"x\""},
    {GOOD "/* c */\n/* c\n c */ x {}\n", 5, "\"x\""},
    {GOOD "/**/ /***/ x {}\n", 3, "\"x\""},
    {GOOD "redis { url = unix:/run//r # c\n when-down = 'local' // c\n deadline = x }\n", 5,
     "\"x\""},
    {GOOD "redis { url = \"# \\\" /* \" // c\n deadline = x }\n", 3, "scheme"},
    {GOOD "redis { url = '# \\' /* ' # c\n deadline = x }\n", 3, "scheme"},
    {GOOD "node { name = \"a\n\nb\" }\nx {}\n", 6, "\"x\""},
    {GOOD "redis { url = \"x\ny\033[2J\" }\n", 4, "\"x?y?[2J\" has an unknown scheme"},
    {GOOD "node { name = 'a\n\nb' }\nx {}\n", 6, "\"x\""},
    {GOOD "node { name = \"a\\\nb\" }\r\nx {}\n", 5, "\"x\""},
    /* Keys and sections */
    {GOOD "\nrediss { }\n", 4,
     "section \"rediss\" is unknown|subscribers, intercept, redis, class"},
    {GOOD "redis {\n\n uri = \"unix:/r\"\n}\n", 5,
     "\"uri\" is unknown in redis|: url, ca, certificate, key, tls-name"},
    {GOOD "class a {\n messagess = { \"1/1s\" }\n}\n", 4,
     "\"messagess\" is unknown in class a|: action, sessions, messages, recipients, bytes, spread, "
     "concurrent, over, enforce, opaque-messages, starttls"},
    {GOOD "class a {\n \"\\x01\" { action = \"pass\" }\n}\n", 4, "unknown"},
    {GOOD "redis { \"\\n\\033[2J\" = 1 }\n", 3, "\"??[2J\" is unknown"},
    {GOOD "redis {\n deadline = 1s\n deadline = 2s\n}\n", 5, "\"deadline\" is there twice"},
    {GOOD "redis {\n deadline = 1s\n}\nredis {\n deadline = 2s\n}\n", 7, "twice"},
    {GOOD "class a { action = \"meter\"\n spread = { \"1/1s\" }\n spread = { \"2/2s\" } }", 5,
     "twice"},
    {GOOD "metrics {\n listen = \"9125\"\n}\n", 4, "\"9125\"|ADDRESS:PORT"},
    {GOOD "metrics { listen = \"127.0.0.1:0\" }\n", 3, "\"127.0.0.1:0\"|ADDRESS:PORT"},
    {GOOD "spf {\n use = \"drop\"\n}\n", 4, "\"drop\"|off, log, meter, refuse"},
    {GOOD "spf {\n deadline = \"1m\"\n}\n", 4, "\"1m\"|from 10ms to 4s"},
    {GOOD "spf {\n fail-cost = 0\n}\n", 4, "\"0\"|from 1 to 1000"},
    {GOOD "spf {\n resolvers = { \"dns.example\" }\n}\n", 4, "\"dns.example\"|ADDRESS:PORT"},
    {GOOD "spf {\n resolvers = { \"192.0.2.1:0\" }\n}\n", 4, "\"192.0.2.1:0\""},
    {GOOD "spf { resolvers = { \"::1\", \"::2\", \"::3\", \"::4\", \"::5\" } }\n", 3,
     "\"::5\" is one too many"},
    /* Subscribers */
    {"class ordinary { action = \"refuse\" }\n", 1, "subscribers.prefixes: is missing"},
    {"\nsubscribers {\n}\nclass ordinary { action = \"refuse\" }\n", 3, "prefixes: is missing"},
    {"\nsubscribers { prefixes = { } }\n", 2, "prefixes: is missing"},
    {"subscribers {\n prefixes = {\n \"192.0.2.0/24\",\n \"192.0.2.128/25\" }\n}\n", 4,
     "\"192.0.2.128/25\" overlaps 192.0.2.0/24"},
    {"subscribers {\n prefixes = {\n \"2001:db8:1::/48\",\n \"2001:db8::/32\" }\n}\n", 4,
     "\"2001:db8::/32\" overlaps 2001:db8:1::/48"},
    {"subscribers {\n prefixes = { \"192.0.2.0/24\",\n \"2001:db8:1::/57\" }\n}\n", 3,
     "subscribers.prefixes: \"2001:db8:1::/57\" is smaller|ipv6-unit = 56|length of up to 56"},
    {"subscribers {\n prefixes = \"2001:db8:1::/56\"\n ipv6-unit = 48\n}\n", 2,
     "\"2001:db8:1::/56\" is smaller|ipv6-unit = 48|up to 48, or a larger ipv6-unit (up to 64)"},
    {"subscribers {\n prefixes = \"2001:db8:1::7\"\n}\n", 2, "is smaller|ipv6-unit = 56"},
    {GOOD "leases {\n prefixes = {\n\"192.0.2.0/25\", \"203.0.113.0/24\" }\n}\n", 5,
     "leases.prefixes: \"203.0.113.0/24\" is not within the subscribers' prefixes"},
    {GOOD "leases {\n prefixes = \"192.0.2.1/24\"\n}\n", 4, "192.0.2.0/24"},
    {GOOD "leases {\n use = yes\n}\n", 4, "use|prefixes"},
    {"subscribers {\n prefixes = \"192.0.2.1/24\"\n}\n", 2,
     "\"192.0.2.1/24\" has bits behind its length|allowed: 192.0.2.0/24"},
    {"subscribers {\n prefixes = \"192.0.2.0/33\"\n}\n", 2, "bad length"},
    {"subscribers {\n prefixes = \"example.org\"\n}\n", 2, "no IPv4 or IPv6 address"},
    {"subscribers {\n prefixes = \"::ffff:192.0.2.0/120\"\n}\n", 2, "IPv4 address in an IPv6 one"},
    {GOOD "subscribers {\n ipv6-unit = 47\n}\n", 4, "\"47\"|48 to 64"},
    {GOOD "subscribers {\n ipv6-unit = 65\n}\n", 4, "\"65\"|48 to 64"},
    {GOOD "subscribers {\n ipv6-unit = -56\n}\n", 4, "\"-56\"|48 to 64"},
    /* Intercept */
    {GOOD "intercept {\n mode = \"TPROXY\"\n}\n", 4, "\"TPROXY\"|: tproxy, redirect"},
    {GOOD "intercept {\n workers = 257\n}\n", 4, "\"257\"|0 to 256"},
    {GOOD "intercept {\n workers = \"\"\n}\n", 4, "\"\" is not allowed|0 to 256"},
    {GOOD "intercept {\n max-sessions = 0\n}\n", 4, "\"0\"|1 to 1000000"},
    {GOOD "intercept {\n listen = {\n\"[::1]:25\",\n\"[0::1]:25\" }\n}\n", 6, "is there twice"},
    {GOOD "intercept {\n listen = \"2525\"\n}\n", 4, "\"2525\"|ADDRESS:PORT"},
    {GOOD "intercept {\n listen = \"127.0.0.1:0\"\n}\n", 4, "ADDRESS:PORT"},
    /* Redis */
    {GOOD "redis {\n url = \"redis://h\"\n ca = \"/ca\"\n}\n", 6, "are for TLS|rediss://"},
    {GOOD "redis {\n url = \"rediss://h\"\n key = \"/k\"\n}\n", 6, "redis.key|certificate = FILE"},
    {GOOD "redis {\n url = \"rediss://h\"\n ca = \"ca.pem\"\n}\n", 5, "\"ca.pem\"|absolute path"},
    {GOOD "redis {\n url = \"rediss://h\"\n ca = \"/none.pem\"\n}\n", 6, "redis: /none.pem: |PEM"},
    {GOOD "redis {\n url = \"rediss://h\"\n certificate = \"/none.pem\"\n}\n", 6,
     "/none.pem: |PEM"},
    {GOOD "redis {\n url = \"redis://h\"\n sentinel-user = u\n}\n", 6, "redis-sentinel://"},
    {GOOD "redis {\n url = \"redis-sentinel://h/m\"\n sentinel-password = \"\"\n}\n", 5,
     "1 to 127 printable"},
    {GOOD "redis {\n ctl-user = u\n}\n", 5, "ctl-user and ctl-password belong together"},
    {GOOD "redis {\n ctl-password = p\n}\n", 5, "ctl-user and ctl-password belong together"},
    {GOOD "redis {\n url = \"redis-sentinel://h\"\n}\n", 4,
     "redis.url: \"redis-sentinel\" does not name the master|/MASTER"},
    {GOOD "redis {\n url = \"http://h\"\n}\n", 4, "\"http\" has an unknown scheme"},
    {GOOD "redis {\n when-down = \"maybe\"\n}\n", 4, "\"maybe\"|: local, pass, refuse"},
    {GOOD "redis {\n deadline = \"50\"\n}\n", 4, "\"50\"|from 1ms to 10s"},
    {GOOD "redis {\n deadline = \"11s\"\n}\n", 4, "\"11s\"|from 1ms to 10s"},
    {GOOD "redis {\n tokens-ahead = 0\n}\n", 4, "\"0\"|from 1 to 1000"},
    {GOOD "redis {\n tokens-ahead = 1001\n}\n", 4, "\"1001\"|from 1 to 1000"},
    /* Classes */
    {"subscribers { prefixes = \"192.0.2.0/24\" }\nclass registered { action = \"pass\" }\n", 1,
     "class ordinary is missing"},
    {GOOD "class a {\n action = \"pass\"\n}\nclass a {\n action = \"refuse\"\n}\n", 6,
     "duplicate title 'a'"},
    {GOOD "\nclass a {\n over = \"defer\"\n}\n", 4, "class a: has no action"},
    {GOOD "\nclass Bad {\n action = \"pass\"\n}\n", 4, "class: this name|1 to 31"},
    {GOOD "\nclass \"\" {\n action = \"pass\"\n}\n", 4, "class: this name"},
    {GOOD "\nclass a23456789-123456789-123456789-12 {\n action = \"pass\"\n}\n", 4,
     "class: this name"},
    {GOOD "class a {\n over = \"defer\"\n action = \"meter\"\n}\n", 5, "class a|without any limit"},
    {GOOD "class a {\n action = \"meter\"\n sessions = { }\n}\n", 4, "without any limit"},
    {GOOD "class a {\n action = \"submission\"\n}\n", 4,
     "class a: action: \"submission\" is not allowed; allowed: pass, meter, submit, refuse"},
    {GOOD "class a {\n action = \"pass\"\n over = \"bridge\"\n}\n", 5,
     "over: \"bridge\" is not allowed; allowed: defer, submit, refuse"},
    {GOOD "class a {\n action = \"meter\"\n sessions = {\n\"30/1m\",\n\"0/1d\" }\n}\n", 7,
     "class a: sessions: \"0/1d\"|COUNT/PERIOD"},
    {GOOD "class a {\n bytes = \"100M\"\n}\n", 4, "bytes: \"100M\"|COUNT/PERIOD"},
    {GOOD "class a {\n bytes = \"1/1500ms\"\n}\n", 4, "whole seconds"},
    {GOOD "class a {\n bytes = \"1/367d\"\n}\n", 4, "366d"},
    {GOOD "class a {\n bytes = \"1G/1s\"\n}\n", 4, "fewer than 1G a second"},
    {GOOD "class a {\n spread = { \"1/60s\",\n \"2/1m\" }\n}\n", 5, "the period of an earlier one"},
    {GOOD "class a {\n spread = { 1/1s, 2/2s, 3/3s, 4/4s,\n 5/5s }\n}\n", 5,
     "one too many|up to 4"},
    {GOOD "class a {\n concurrent = 0\n}\n", 4, "\"0\"|1 to 1000000"},
    {GOOD "class a {\n concurrent = \"5/1m\"\n}\n", 4, "concurrent: \"5/1m\""},
    {GOOD "class a {\n opaque-messages = all\n}\n", 4, "\"all\"|turns, session, off"},
    {GOOD "class a {\n starttls = strip\n}\n", 4, "\"strip\"|pass, refuse"},
    {GOOD "class a {\n enforce = maybe\n}\n", 4, "\"maybe\"|true, false"},
    /* Submission */
    {GOOD "submission {\n host = \"smtp isp\"\n}\n", 4, "submission.host: \"smtp isp\"|1 to 127"},
    {GOOD "submission {\n port = 0\n}\n", 4, "submission.port: \"0\"|1 to 65535"},
    {GOOD "submission {\n port = 25\n}\n", 5, "submission.port: 25 is where|such as 587"},
    {GOOD "submission {\n address = 127.0.0.1\n}\n", 4, "\"127.0.0.1\" is no address of a server"},
    {GOOD "submission {\n address = 0.0.0.0\n}\n", 4, "\"0.0.0.0\" is no address of a server"},
    {GOOD "submission {\n address = \"::1\"\n}\n", 4, "\"::1\" is no address of a server"},
    {GOOD "submission {\n proxy-protocol = 2\n}\n", 4, "proxy-protocol: \"2\"|true, false"},
    {GOOD "submission {\n for = { \"198.51.100.10/24\" }\n}\n", 4,
     "submission.for: \"198.51.100.10/24\" has bits behind its length|198.51.100.0/24"},
    {GOOD "submission {\n for = { 198.51.100.10, 198.51.100.0/24 }\n}\n", 4, "overlaps"},
    {GOOD "submission {\n address = \"smtp.isp.example\"\n}\n", 4,
     "submission.address: \"smtp.isp.example\" is no address"},
    {GOOD "submission {\n address = { 198.51.100.20,\n 198.51.100.21 }\n}\n", 5,
     "\"198.51.100.21\" is a second one of its family"},
    {GOOD
     "submission {\n for = { 198.51.100.10, 2001:db8:ffff::10 }\n address = 198.51.100.20\n}\n",
     6, "submission.for: 2001:db8:ffff::10 has no submission service of its family|address = "},
    {GOOD "timeouts {\n submission = 0\n}\n", 4, "timeouts.submission: \"0\"|from 1ms to 7d"},
    /* The rest */
    {GOOD "help {\n url = \"mail.isp.example\"\n}\n", 4, "help.url|http://"},
    {GOOD "help {\n url = \"https://a b\"\n}\n", 4, "printable ASCII"},
    {GOOD "help {\n url = \"https://a/\\r\\n250 ok\"\n}\n", 4, "\"https://a/??250 ok\""},
    {GOOD "journal {\n file = \"journal.jsonl\"\n}\n", 4, "an absolute path"},
    {GOOD "journal {\n file = \"\"\n}\n", 4, "an absolute path"},
    {GOOD "journal {\n keep = \"30\"\n}\n", 4, "\"30\"|from 1m to 3660d"},
    {GOOD "journal {\n envelope = \"some\"\n}\n", 4, ": full, domains, none"},
    {GOOD "smtp {\n bare-lf = \"pass\"\n}\n", 4, ": normalize, refuse"},
    {GOOD "registry {\n copy = \"x\"\n}\n", 4, "registry.copy"},
    {GOOD "control {\n socket = \"x\"\n}\n", 4, "control.socket"},
    {GOOD "bypass {\n control = \"x\"\n}\n", 4, "bypass.control"},
    {GOOD "bypass {\n hold = \"1s\"\n}\n", 4, "bypass.hold: \"1s\"|5s to 1d"},
    {GOOD "bypass {\n mark-bit = 32\n}\n", 4, "bypass.mark-bit: \"32\"|1 to 31"},
    {GOOD "bypass {\n mark-bit = 0\n}\n", 4, "bypass.mark-bit: \"0\"|1 to 31"},
    {GOOD "bypass {\n listen = \"9126\"\n}\n", 4, "bypass.listen"},
    {GOOD "bypass {\n fast-path = { eth0, \"a/b\" }\n}\n", 4,
     "\"a/b\" is no network interface's name"},
    {GOOD "bypass {\n fast-path = \"\"\n}\n", 4, "1 to 15 bytes"},
    {GOOD "bypass {\n fast-path = \"0123456789abcdef\"\n}\n", 4, "1 to 15 bytes"},
    {GOOD "bypass {\n fast-path = { eth0, eth1, eth0 }\n}\n", 4, "\"eth0\" is there twice"},
    {GOOD "bypass {\n fast-path = { a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q }\n}\n", 4,
     "\"q\" is one too many"},
    {GOOD "intercept {\n mode = redirect\n}\nbypass {\n fast-path = eth0\n}\n", 8,
     "bypass.fast-path: works with intercept.mode = \"tproxy\" alone"},
    {GOOD "node {\n name = \"a b\"\n}\n", 4, "node.name: \"a b\"|1 to 63"},
    {GOOD "timeouts {\n connect = \"0s\"\n}\n", 4, "timeouts.connect: \"0s\"|from 1ms to 7d"},
    {GOOD "timeouts {\n data-end = \"10 minutes\"\n}\n", 4, "timeouts.data-end"},
};

static void test_bad_files(void **state)
{
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        struct conf *c = read_text(*state, bad_files[i].content);

        if (c) {
            fail_msg("accepted: %s", bad_files[i].content);
        }
        assert_message(*state, bad_files[i].line, bad_files[i].words);
    }
}

static void test_zero_byte(void **state)
{
    assert_null(read_bytes(*state, SPAN_LITERAL(GOOD "#\0\n")));
    assert_message(*state, 1, "zero byte");
}

static void test_unreadable(void **state)
{
    struct fixture *f = *state;
    char big[4096];
    int fd;

    text_init(&f->error, f->message, sizeof(f->message));
    assert_null(conf_file_read(f->file, &f->error));
    assert_message(f, 1, "cannot be read|No such file or directory");

    assert_int_equal(mkdir(f->file, 0700), 0);
    text_init(&f->error, f->message, sizeof(f->message));
    assert_null(conf_file_read(f->file, &f->error));
    assert_message(f, 1, "cannot be read|Is a directory");
    assert_int_equal(rmdir(f->file), 0);

    assert_int_equal(mkfifo(f->file, 0600), 0);
    text_init(&f->error, f->message, sizeof(f->message));
    assert_null(conf_file_read(f->file, &f->error));
    assert_message(f, 1, "cannot be read|regular file");
    assert_int_equal(unlink(f->file), 0);

    memset(big, '\n', sizeof(big));
    fd = open(f->file, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    for (unsigned i = 0; i < 257; i++) {
        assert_int_equal(write(fd, big, sizeof(big)), sizeof(big));
    }
    close(fd);
    text_init(&f->error, f->message, sizeof(f->message));
    assert_null(conf_file_read(f->file, &f->error));
    assert_message(f, 1, "cannot be read|too large");
}

/* Nothing of a bad file is left in libConfuse's lexer when the next is read (a reload). */
static void test_good_after_bad(void **state)
{
    for (size_t i = 0; i < sizeof(bad_files) / sizeof(bad_files[0]); i++) {
        struct conf *c = read_text(*state, bad_files[i].content);

        assert_null(c);
        c = read_text(*state, "\n\n" GOOD);
        assert_non_null(c);
        conf_release(c);
        assert_null(read_text(*state, "\n\nnonsense"));
        assert_message(*state, 3, "nonsense");
    }
}

static void test_spf(void **state)
{
    struct conf *c = read_text(
        *state, GOOD "spf { use = meter deadline = 500ms fail-cost = 3\n"
                     "resolvers = { \"192.0.2.53\", \"[2001:db8::53]:5353\" } }\n");
    char text[ENDPOINT_TEXT];

    assert_non_null(c);
    assert_int_equal(c->spf.use, SPF_USE_METER);
    assert_int_equal(c->spf.deadline_ms, 500);
    assert_int_equal(c->spf.fail_cost, 3);
    assert_int_equal(c->spf.resolver_count, 2);
    endpoint_format(&c->spf.resolvers[0], text);
    assert_string_equal(text, "192.0.2.53:53");
    endpoint_format(&c->spf.resolvers[1], text);
    assert_string_equal(text, "[2001:db8::53]:5353");
    conf_release(c);
}

/* The password of a bad URL is not told to the log. */
static void test_password_is_not_told(void **state)
{
    struct fixture *f = *state;

    assert_null(read_text(f, GOOD "redis { url = \"redis://u:secret@h:port\" }\n"));
    assert_message(f, 3, "redis.url|bad port");
    assert_null(strstr(f->message, "secret"));
}

static void test_defaults(void **state)
{
    struct conf *c = read_text(*state, GOOD);
    char text[ENDPOINT_TEXT], host[64] = "";

    assert_non_null(c);
    assert_int_equal(c->references, 1);
    assert_int_equal(c->prefix_count, 1);
    assert_int_equal(c->ipv6_unit, 56);
    assert_int_equal(c->mode, INTERCEPT_TPROXY);
    assert_int_equal(c->listen_count, 2);
    endpoint_format(&c->listen[0], text);
    assert_string_equal(text, "127.0.0.1:2525");
    endpoint_format(&c->listen[1], text);
    assert_string_equal(text, "[::1]:2525");
    assert_int_equal(c->workers, 0);
    assert_int_equal(c->max_sessions, 20000);
    assert_string_equal(c->redis.path, "/run/redis/redis.sock");
    assert_int_equal(c->redis.when_down, WHEN_DOWN_LOCAL);
    assert_int_equal(c->redis.deadline_ms, 50);
    assert_int_equal(c->redis.tokens_ahead, 1);
    assert_int_equal(c->class_count, 1);
    assert_int_equal(c->default_class, 0);
    assert_int_equal(c->classes[0].over, OVER_DEFER);
    assert_true(c->classes[0].enforce);
    assert_int_equal(c->classes[0].opaque_messages, OPAQUE_TURNS);
    assert_int_equal(c->classes[0].starttls, STARTTLS_PASS);
    assert_string_equal(c->submission.host, "");
    assert_int_equal(c->submission.port, 587);
    assert_int_equal(c->submission.own_count, 0);
    assert_int_equal(c->submission.service_count, 0);
    assert_false(c->submission.proxy_protocol);
    assert_int_equal(c->spf.use, SPF_USE_OFF);
    assert_int_equal(c->spf.deadline_ms, 2000);
    assert_int_equal(c->spf.fail_cost, 10);
    assert_int_equal(c->spf.resolver_count, 0);
    assert_string_equal(c->help_url, "");
    assert_null(c->journal_file);
    assert_int_equal(c->journal_keep_s, 30 * 86400);
    assert_int_equal(c->envelope, ENVELOPE_FULL);
    assert_int_equal(c->bare_lf, BARE_LF_NORMALIZE);
    assert_null(c->registry_copy);
    assert_null(c->control_socket);
    assert_null(c->bypass.control_socket);
    assert_int_equal(c->bypass.listen.count, 0);
    assert_int_equal(c->bypass.hold_ms, 300000);
    assert_int_equal(c->bypass.mark_bit, 28);
    assert_int_equal(c->bypass.fast_path.count, 0);
    assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
    assert_string_equal(c->node, host);
    assert_int_equal(c->timeouts.connect_ms, 30000);
    assert_int_equal(c->timeouts.banner_ms, 300000);
    assert_int_equal(c->timeouts.command_ms, 300000);
    assert_int_equal(c->timeouts.reply_ms, 300000);
    assert_int_equal(c->timeouts.data_start_ms, 120000);
    assert_int_equal(c->timeouts.data_block_ms, 180000);
    assert_int_equal(c->timeouts.data_end_ms, 600000);
    assert_int_equal(c->timeouts.opaque_ms, 600000);
    assert_int_equal(c->timeouts.drain_ms, 30000);
    assert_int_equal(c->timeouts.submission_ms, 3000);
    conf_release(c);
}

static void assert_limit(
    const struct conf_class *class, enum limit_kind kind, unsigned windows, uint64_t count,
    uint64_t period_us)
{
    const struct limit *limit = &class->limit[kind];

    assert_int_equal(limit->windows, windows);
    if (windows > 0) {
        assert_int_equal(limit->window[windows - 1].count, count);
        assert_int_equal(limit->window[windows - 1].period_us, period_us);
    }
}

static const char everything[] =
    "subscribers {\n  prefixes = { '192.0.2.0/24', \"2001:db8:1::/48\", 203.0.113.7 }\n"
    "  ipv6-unit = 64\n}\n"
    "intercept { mode = redirect listen = \"10.0.0.1:25\" workers = 256 max-sessions = 7 }\n"
    "redis { url = \"redis://gate:p%40ss@[2001:db8::9]:6380/3\" when-down = refuse deadline = 1s "
    "tokens-ahead = 8 "
    "}\n"
    "class registered { action = pass }\n"
    "class ordinary {\n action = meter\n sessions = { 30/1m, \"500/1d\" }\n messages = { 10/1m }\n"
    " recipients = 50/1m\n recipients += 500/1d\n bytes = { 100M/1h }\n spread = { 20/1h }\n"
    " concurrent = 5\n over = refuse\n enforce = no\n opaque-messages = session\n"
    " starttls = refuse\n}\n"
    "class programs { action = submit over = submit }\n"
    "submission {\n host = smtp.isp.example port = 2587\n for = { 198.51.100.10, "
    "2001:db8:ffff::/48 "
    "}\n"
    " address = { 198.51.100.20, 2001:db8:ffff::20 }\n proxy-protocol = yes\n}\n"
    "smtp { bare-lf = refuse }\n"
    "help { url = \"https://mail.isp.example/\" }\n"
    "journal { file = \"/var/log/j\" keep = 7d envelope = domains }\n"
    "registry { copy = \"/var/lib/c\" }\ncontrol { socket = \"/run/c\" }\n"
    "bypass { control = /run/b listen = { \"127.0.0.1:1\", \"[::1]:1\" } hold = 10s mark-bit = 3 "
    "}\n"
    "node { name = \"gate-1.example\" }\n"
    "timeouts { connect = 1s banner = 2s command = 3s reply = 4s data-start = 5s\n"
    " data-block = 6s data-end = 7s opaque = 8s drain = 0s submission = 9s }\n";

static void test_everything(void **state)
{
    struct conf *c = read_text(*state, everything);
    const struct conf_class *class;
    char text[PREFIX_TEXT];

    assert_non_null(c);
    assert_int_equal(c->prefix_count, 3);
    prefix_format(&c->prefixes[2], text);
    assert_string_equal(text, "203.0.113.7");
    assert_int_equal(c->ipv6_unit, 64);
    assert_int_equal(c->mode, INTERCEPT_REDIRECT);
    assert_int_equal(c->listen_count, 1);
    assert_int_equal(c->listen[0].port, 25);
    assert_int_equal(c->workers, 256);
    assert_int_equal(c->max_sessions, 7);
    assert_string_equal(c->redis.place[0].host, "2001:db8::9");
    assert_string_equal(c->redis.user, "gate");
    assert_string_equal(c->redis.password, "p@ss");
    assert_int_equal(c->redis.place[0].port, 6380);
    assert_int_equal(c->redis.database, 3);
    assert_int_equal(c->redis.when_down, WHEN_DOWN_REFUSE);
    assert_int_equal(c->redis.deadline_ms, 1000);
    assert_int_equal(c->redis.tokens_ahead, 8);
    assert_int_equal(c->class_count, 3);
    assert_int_equal(c->classes[2].action, ACTION_SUBMIT);
    assert_int_equal(c->classes[2].over, OVER_SUBMIT);
    assert_string_equal(c->submission.host, "smtp.isp.example");
    assert_int_equal(c->submission.port, 2587);
    assert_int_equal(c->submission.own_count, 2);
    prefix_format(&c->submission.own[1], text);
    assert_string_equal(text, "2001:db8:ffff::/48");
    assert_int_equal(c->submission.service_count, 2);
    addr_format(&c->submission.service[1], text);
    assert_string_equal(text, "2001:db8:ffff::20");
    assert_true(c->submission.proxy_protocol);
    assert_int_equal(c->default_class, 1);
    assert_int_equal(c->classes[0].action, ACTION_PASS);
    class = conf_class_named(c, span_of("ordinary"));
    assert_ptr_equal(class, &c->classes[1]);
    assert_int_equal(class->action, ACTION_METER);
    assert_limit(class, LIMIT_SESSIONS, 2, 500, 86400 * SECOND);
    assert_limit(class, LIMIT_MESSAGES, 1, 10, 60 * SECOND);
    assert_limit(class, LIMIT_RECIPIENTS, 2, 500, 86400 * SECOND);
    assert_limit(class, LIMIT_BYTES, 1, 100000000, 3600 * SECOND);
    assert_limit(class, LIMIT_SPREAD, 1, 20, 3600 * SECOND);
    assert_int_equal(class->limit[LIMIT_CONCURRENT].windows, 1);
    assert_int_equal(class->limit[LIMIT_CONCURRENT].window[0].count, 5);
    assert_int_equal(class->over, OVER_REFUSE);
    assert_false(class->enforce);
    assert_int_equal(class->opaque_messages, OPAQUE_SESSION);
    assert_int_equal(class->starttls, STARTTLS_REFUSE);
    assert_string_equal(c->help_url, "https://mail.isp.example/");
    assert_string_equal(c->journal_file, "/var/log/j");
    assert_int_equal(c->journal_keep_s, 7 * 86400);
    assert_int_equal(c->envelope, ENVELOPE_DOMAINS);
    assert_int_equal(c->bare_lf, BARE_LF_REFUSE);
    assert_string_equal(c->registry_copy, "/var/lib/c");
    assert_string_equal(c->control_socket, "/run/c");
    assert_string_equal(c->bypass.control_socket, "/run/b");
    assert_int_equal(c->bypass.listen.count, 2);
    assert_int_equal(c->bypass.hold_ms, 10000);
    assert_int_equal(c->bypass.mark_bit, 3);
    assert_string_equal(c->node, "gate-1.example");
    assert_int_equal(c->timeouts.connect_ms, 1000);
    assert_int_equal(c->timeouts.banner_ms, 2000);
    assert_int_equal(c->timeouts.command_ms, 3000);
    assert_int_equal(c->timeouts.reply_ms, 4000);
    assert_int_equal(c->timeouts.data_start_ms, 5000);
    assert_int_equal(c->timeouts.data_block_ms, 6000);
    assert_int_equal(c->timeouts.data_end_ms, 7000);
    assert_int_equal(c->timeouts.opaque_ms, 8000);
    assert_int_equal(c->timeouts.drain_ms, 0);
    assert_int_equal(c->timeouts.submission_ms, 9000);
    conf_release(c);
}

static void take_warning(void *context, const char *words)
{
    text_addf(context, "%s%s", ((struct text *)context)->len > 0 ? "|" : "", words);
}

/* Unit tests run in the project's root. */
static void test_sample(void **state)
{
    struct fixture *f = *state;
    struct conf *c;

    text_init(&f->error, f->message, sizeof(f->message));
    c = conf_file_read("conf/gate25.conf", &f->error);
    if (!c) {
        fail_msg("%s", f->message);
    }
    assert_int_equal(c->class_count, 3);
    assert_string_equal(c->classes[c->default_class].name, CONF_DEFAULT_CLASS);
    text_init(&f->error, f->message, sizeof(f->message));
    conf_warnings(c, take_warning, &f->error);
    assert_string_equal(f->message, "");
    conf_release(c);
}

/* The words that the warnings begin with, separated by "|"; each has its own and no other. */
static void test_warnings(void **state)
{
    static const char submit[] = "class a { action = submit }";
    static const struct {
        const char *class, *rest, *warnings;
    } rows[] = {
        {"", "", ""},
        {"", "help { url = \"https://x.example/\" }", ""},
        {"", "submission { host = s.example }", "submission: has no effect"},
        {"", "submission { port = 588 }", "submission: has no effect"},
        {"class a { action = refuse over = submit }", "submission { host = s.example }",
         "submission: has no effect"},
        {submit, "", "submission.host: is missing"},
        {"class a { action = meter over = submit concurrent = 1 }", "",
         "submission.host: is missing"},
        {submit, "submission { host = s.example }", "help.url: is missing"},
        {submit, "help { url = \"https://x.example/\" } submission { host = s.example }", ""},
        {submit, "submission { address = 198.51.100.20 }",
         "submission.host: is missing|submission.address: has no effect"},
        {submit, "submission { proxy-protocol = true }",
         "submission.host: is missing|submission.proxy-protocol: has no effect"},
        {submit, "submission { for = 198.51.100.10 address = { 198.51.100.20, 2001:db8::20 } }",
         "submission.host: is missing|submission.address: its IPv6 address has no effect"},
        {submit, "submission { for = 2001:db8::10 address = { 198.51.100.20, 2001:db8::20 } }",
         "submission.host: is missing|submission.address: its IPv4 address has no effect"},
        {submit, "submission { for = 198.51.100.10 address = 198.51.100.20 proxy-protocol = true }",
         "submission.host: is missing"},
        {submit, "submission { for = 0.0.0.0/0 address = 198.51.100.20 }",
         "submission.host: is missing|submission.for: a length of 0"},
        {submit,
         "submission { for = { 198.51.100.10, \"::/0\" } address = { 198.51.100.20, 2001:db8::2 } "
         "}",
         "submission.host: is missing|submission.for: a length of 0"},
        {submit, "submission { for = 198.51.100.10 address = 198.51.100.20 port = 465 }",
         "submission.host: is missing|submission.port: 465 is for TLS"},
        {submit, "submission { port = 465 }", "submission.host: is missing"},
        {"class a { action = meter opaque-messages = session sessions = 1/1m }", "",
         "opaque-messages = \"session\": has no effect"},
        {"class a { action = meter opaque-messages = session messages = 1/1m }", "", ""},
        {"class a { action = meter sessions = 1/1m }", "spf { use = meter }",
         "spf.use = \"meter\": has no effect"},
        {"class a { action = meter sessions = 1/1m }", "spf { use = refuse }", ""},
        {"class a { action = meter messages = 1/1m }", "spf { use = meter fail-cost = 4 }", ""},
        {"class a { action = meter messages = 1/1m }", "spf { use = log fail-cost = 4 }",
         "spf.fail-cost: has no effect"},
        {"", "spf { deadline = 1s }", "spf.deadline: has no effect"},
        {"", "spf { resolvers = 192.0.2.53 }", "spf.resolvers: has no effect"},
        {"", "spf { deadline = 1s fail-cost = 4 resolvers = 192.0.2.53 }",
         "spf.fail-cost: has no effect|spf.deadline: has no effect|spf.resolvers: has no effect"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char content[512], array[2048], copy[512], *rest = copy, *said = array;
        struct text warnings;

        snprintf(content, sizeof(content), GOOD "%s\n%s\n", rows[i].class, rows[i].rest);
        struct conf *c = read_text(*state, content);
        if (!c) {
            fail_msg("%s", ((struct fixture *)*state)->message);
        }
        text_init(&warnings, array, sizeof(array));
        conf_warnings(c, take_warning, &warnings);
        conf_release(c);
        snprintf(copy, sizeof(copy), "%s", rows[i].warnings);
        while (rest && said) {
            const char *wanted = strsep(&rest, "|"), *got = strsep(&said, "|");
            if (strncmp(got, wanted, strlen(wanted)) != 0 || (!wanted[0] && got[0])) {
                fail_msg("%s: wanted \"%s\", got \"%s\"", rows[i].rest, wanted, got);
            }
        }
        assert_true(!rest && !said);
    }
}

/* SPF is asked for metered classes alone. */
static void test_warning_of_nobody(void **state)
{
    struct fixture *f = *state;
    struct conf *c = read_text(
        f, "subscribers { prefixes = { \"192.0.2.0/24\" } }\nclass ordinary { action = refuse }\n"
           "spf { use = refuse }\n");

    assert_non_null(c);
    text_init(&f->error, f->message, sizeof(f->message));
    conf_warnings(c, take_warning, &f->error);
    assert_string_equal(
        f->message, "spf.use: has no effect on mail; no class has action = \"meter\"");
    conf_release(c);
}

static void test_references(void **state)
{
    struct conf *c = read_text(*state, GOOD);

    assert_non_null(c);
    assert_ptr_equal(conf_hold(c), c);
    conf_release(c);
    assert_int_equal(c->references, 1);
    conf_release(c);
    conf_release(NULL);
}

static void test_needs_restart(void **state)
{
    static const struct {
        const char *old, *new, *needs;
    } rows[] = {
        {"", "", ""},
        {"", "timeouts { drain = 1s }", ""},
        {"", "redis { when-down = pass deadline = 1s tokens-ahead = 4 }", ""},
        {"", "class a { action = pass }", ""},
        {"", "intercept { mode = redirect }", "intercept"},
        {"", "intercept { listen = { \"127.0.0.1:2525\", \"[::1]:2526\" } }", "intercept"},
        {"", "intercept { listen = { \"127.0.0.1:2525\" } }", "intercept"},
        {"", "intercept { workers = 2 }", "intercept"},
        {"", "redis { url = \"unix:/other\" }", "redis"},
        {"redis { url = \"redis://u:a@h\" }", "redis { url = \"redis://u:b@h\" }", "redis"},
        {"", "control { socket = \"/run/c\" }", "control"},
        {"control { socket = \"/run/c\" }", "control { socket = \"/run/c\" }", ""},
        {"control { socket = \"/run/c\" }", "control { socket = \"/run/d\" }", "control"},
        {"", "redis { url = \"unix:/r\" } intercept { workers = 1 }", "intercept, redis"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char content[512], array[64];
        struct conf *old, *new;
        struct text needs;

        snprintf(content, sizeof(content), GOOD "%s", rows[i].old);
        old = read_text(*state, content);
        snprintf(content, sizeof(content), GOOD "%s", rows[i].new);
        new = read_text(*state, content);
        assert_non_null(old);
        assert_non_null(new);
        text_init(&needs, array, sizeof(array));
        conf_needs_restart(old, new, &needs);
        assert_string_equal(array, rows[i].needs);
        conf_release(old);
        conf_release(new);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bad_files),
        TEST(test_zero_byte),
        TEST(test_unreadable),
        TEST(test_good_after_bad),
        TEST(test_password_is_not_told),
        TEST(test_defaults),
        TEST(test_spf),
        TEST(test_everything),
        TEST(test_sample),
        TEST(test_warnings),
        TEST(test_warning_of_nobody),
        TEST(test_references),
        TEST(test_needs_restart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
