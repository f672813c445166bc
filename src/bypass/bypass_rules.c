#include "bypass/bypass_rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define FORM_VERSION 1
#define LINE         512
#define T            "inet " BYPASS_TABLE
#define LASTING_S    3600 /* for what is open, behind hold_ms */
#define FILLING_S    30
#define ENDED_S      600

/* A chain between connection tracking and what most rules for marks and TPROXY use. */
#define EARLY "type filter hook prerouting priority mangle - 10; policy accept;"
#define LATE  "type filter hook forward priority filter; policy accept;"

/* How many of those who send are counted at once; above it packets pass uncounted (but in the
 * total). Who rests is forgotten by the kernel after that time; gate25-bypassd reads more often. */
#define COUNTED "flags dynamic, timeout; timeout 2m; size 262144; counter;"

static const char *const sets[] = {
    "fresh { type inet_proto; flags timeout; }", /* gate25-bypassd lives: new connections too */
    "open { type inet_proto; flags timeout; }",  /* ... or did so lately: what is open */
    "filling { type inet_proto; flags timeout; }",
    BYPASS_UNITS4 " { type ipv4_addr; flags timeout; }",
    BYPASS_UNITS6 " { type ipv6_addr; flags timeout; }",
    BYPASS_RANGES4 " { type ipv4_addr; flags interval, timeout; }",
    BYPASS_RANGES6 " { type ipv6_addr; flags interval, timeout; }",
    /* whose bypass was ended: mail servers that still send them something are told so */
    "ended4 { type ipv4_addr; flags timeout; }",
    "ended6 { type ipv6_addr; flags timeout; }",
    "ended_ranges4 { type ipv4_addr; flags interval, timeout; }",
    "ended_ranges6 { type ipv6_addr; flags interval, timeout; }",
    /* who sends and gets how much; SYNs */
    "up4 { type ipv4_addr; " COUNTED " }",
    "up6 { type ipv6_addr; " COUNTED " }",
    "down4 { type ipv4_addr; " COUNTED " }",
    "down6 { type ipv6_addr; " COUNTED " }",
    "opened4 { type ipv4_addr; " COUNTED " }",
    "opened6 { type ipv6_addr; " COUNTED " }",
};

static const char *const counters[] = {"up", "down", "opened"};

static const char *const chains[] = {
    "early { " EARLY " }", "late { " LATE " }", "up", "down", "let_up", "let_down", "let",
};

#define SYN "tcp flags & (syn | ack) == syn"
#define MID "tcp flags & (syn | ack) != syn"
#define OLD "tcp flags & (syn | rst) == 0"
/* Placeholders of rules: */
#define HELD "<HELD>" /* what tells a packet of a connection that the gate already has */
#define UNIT "<UNIT>" /* the mask that makes an IPv6 address its unit's */
#define MARK "<MARK>" /* the bit */

/* chain, rule */
static const char *const rules[][2] = {
    {"early", "tcp dport 25 goto up"},
    {"early", "tcp sport 25 goto down"},

    {"up", HELD " return"},
    {"up", MID " meta l4proto @filling goto let"},
    {"up", SYN " meta l4proto != @fresh return"},
    {"up", "meta l4proto != @open return"},
    {"up", "ip saddr @" BYPASS_UNITS4 " goto let_up"},
    {"up", "ip6 saddr & " UNIT " @" BYPASS_UNITS6 " goto let_up"},
    {"up", "ip saddr @" BYPASS_RANGES4 " goto let_up"},
    {"up", "ip6 saddr @" BYPASS_RANGES6 " goto let_up"},

    {"down", HELD " return"},
    {"down", "meta l4proto @filling goto let"},
    {"down", "meta l4proto != @open return"},
    {"down", "ip daddr @" BYPASS_UNITS4 " goto let_down"},
    {"down", "ip6 daddr & " UNIT " @" BYPASS_UNITS6 " goto let_down"},
    {"down", "ip daddr @" BYPASS_RANGES4 " goto let_down"},
    {"down", "ip6 daddr @" BYPASS_RANGES6 " goto let_down"},

    /* The mark first: counting may fail, and ends its own rule then. */
    {"let", "meta mark set meta mark | " MARK},
    {"let_up", "meta mark set meta mark | " MARK},
    {"let_up", "counter name \"up\""},
    {"let_up", SYN " counter name \"opened\""},
    {"let_up", SYN " update @opened4 { ip saddr }"},
    {"let_up", SYN " update @opened6 { ip6 saddr & " UNIT " }"},
    {"let_up", "update @up4 { ip saddr }"},
    {"let_up", "update @up6 { ip6 saddr & " UNIT " }"},
    {"let_down", "meta mark set meta mark | " MARK},
    {"let_down", "counter name \"down\""},
    {"let_down", "update @down4 { ip daddr }"},
    {"let_down", "update @down6 { ip6 daddr & " UNIT " }"},

    /* A connection whose bypass was ended: the subscriber's end is reset by what takes his packets
     * now, the server's end by these. */
    {"late", "meta mark & " MARK " == " MARK " return"},
    {"late", "tcp sport 25 " OLD " ip daddr @ended4 reject with tcp reset"},
    {"late", "tcp sport 25 " OLD " ip6 daddr & " UNIT " @ended6 reject with tcp reset"},
    {"late", "tcp sport 25 " OLD " ip daddr @ended_ranges4 reject with tcp reset"},
    {"late", "tcp sport 25 " OLD " ip6 daddr @ended_ranges6 reject with tcp reset"},
    {"late", "tcp dport 25 " OLD " ip saddr @ended4 reject with tcp reset"},
    {"late", "tcp dport 25 " OLD " ip6 saddr & " UNIT " @ended6 reject with tcp reset"},
    {"late", "tcp dport 25 " OLD " ip saddr @ended_ranges4 reject with tcp reset"},
    {"late", "tcp dport 25 " OLD " ip6 saddr @ended_ranges6 reject with tcp reset"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int __attribute__((format(printf, 2, 3))) add(struct buf *out, const char *format, ...)
{
    char line[LINE];
    va_list arguments;

    va_start(arguments, format);
    int len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    return len < 0 || len >= LINE ? -1 : buf_append(out, (struct span){line, (size_t)len});
}

static const char *held_words(const struct conf *conf)
{
    /* A listening socket is bound to no subscriber's packet: `wildcard 0` leaves it out. */
    return conf->mode == INTERCEPT_TPROXY ? "socket transparent 1 socket wildcard 0"
                                          : "ct status & dnat == dnat";
}

static void unit_mask(const struct conf *conf, char out[ADDR_TEXT])
{
    struct addr ones = {.family = ADDR_IPV6};

    for (unsigned i = 0; i < 16; i++) {
        ones.bytes[i] = 0xff;
    }
    struct prefix mask = prefix_of(&ones, conf->ipv6_unit);
    addr_format(&mask.addr, out);
}

static uint32_t mark_of(const struct conf *conf)
{
    return UINT32_C(1) << conf->bypass.mark_bit;
}

void bypass_form(const struct conf *conf, char out[BYPASS_FORM])
{
    snprintf(
        out, BYPASS_FORM, "gate25-bypassd form %d, %s, unit %u, mark 0x%" PRIx32, FORM_VERSION,
        conf->mode == INTERCEPT_TPROXY ? "tproxy" : "redirect", conf->ipv6_unit, mark_of(conf));
}

struct words {
    struct span place, word;
};

/* The rule with its placeholders filled in. */
static int add_rule(
    const struct words words[3], const char *chain, const char *rule, struct buf *out)
{
    if (add(out, "add rule " T " %s ", chain) != 0) {
        return -1;
    }
    while (*rule != '\0') {
        struct span piece = {rule, 1};
        size_t skip = 1;

        for (size_t i = 0; i < 3; i++) {
            if (span_starts_nocase(span_of(rule), words[i].place)) {
                piece = words[i].word;
                skip = words[i].place.len;
            }
        }
        if (buf_append(out, piece) != 0) {
            return -1;
        }
        rule += skip;
    }
    return buf_append(out, SPAN_LITERAL("\n"));
}

static int add_rules(const struct conf *conf, struct buf *out)
{
    char mask[ADDR_TEXT], mark[16];

    unit_mask(conf, mask);
    snprintf(mark, sizeof(mark), "0x%" PRIx32, mark_of(conf));
    const struct words words[3] = {
        {SPAN_LITERAL(HELD), span_of(held_words(conf))},
        {SPAN_LITERAL(UNIT), span_of(mask)},
        {SPAN_LITERAL(MARK), span_of(mark)},
    };
    for (size_t i = 0; i < COUNT(rules); i++) {
        if (add_rule(words, rules[i][0], rules[i][1], out) != 0) {
            return -1;
        }
    }
    return 0;
}

int bypass_rules_write(const struct conf *conf, bool replace, struct buf *out)
{
    char form[BYPASS_FORM];
    int failed = 0;

    bypass_form(conf, form);
    if (replace) {
        /* Deleting what is not there would be an error. */
        failed |= add(out, "add table " T "\ndelete table " T "\n");
    }
    failed |= add(out, "add table " T " { comment \"%s\" ; }\n", form);
    for (size_t i = 0; i < COUNT(counters); i++) {
        failed |= add(out, "add counter " T " %s\n", counters[i]);
    }
    for (size_t i = 0; i < COUNT(sets); i++) {
        failed |= add(out, "add set " T " %s\n", sets[i]);
    }
    for (size_t i = 0; i < COUNT(chains); i++) {
        failed |= add(out, "add chain " T " %s\n", chains[i]);
    }
    failed |= add(out, "flush table " T "\n");
    return failed != 0 ? -1 : add_rules(conf, out);
}

int bypass_rules_beat(uint32_t hold_ms, struct buf *out)
{
    return add(
        out,
        "flush set " T " fresh\nflush set " T " open\n"
        "add element " T " fresh { tcp timeout %us }\nadd element " T " open { tcp timeout %us }\n",
        hold_ms / 1000, hold_ms / 1000 + LASTING_S);
}

int bypass_rules_filling(bool filling, struct buf *out)
{
    if (add(out, "flush set " T " filling\n") != 0) {
        return -1;
    }
    return filling ? add(out, "add element " T " filling { tcp timeout %ds }\n", FILLING_S) : 0;
}
