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
    "early { " EARLY " }",
    "late { " LATE " }",
    "up",
    "up_free",
    "down",
    "down_free",
    "let_up",
    "let_down",
    "let",
};

#define SYN "tcp flags & (syn | ack) == syn"
#define MID "tcp flags & (syn | ack) != syn"
#define OLD "tcp flags & (syn | rst) == 0"
/* Placeholders of rules: */
#define FREE                                                                                       \
    "<FREE>" /* what tells that the gate has no socket for the packet, though one is found */
#define HELD   "<HELD>" /* what tells that the gate has the connection */
#define UNIT   "<UNIT>" /* the mask that makes an IPv6 address its unit's */
#define MARK   "<MARK>" /* the bit */
#define PLACES 4

/* chain, rule */
static const char *const rules[][2] = {
    {"early", "tcp dport 25 goto up"},
    {"early", "tcp sport 25 goto down"},

    {"up", FREE " goto up_free"},
    {"up", HELD " return"},
    {"up", "goto up_free"},
    {"up_free", MID " meta l4proto @filling goto let"},
    {"up_free", SYN " meta l4proto != @fresh return"},
    {"up_free", "meta l4proto != @open return"},
    {"up_free", "ip saddr @" BYPASS_RANGES4 " goto let_up"},
    {"up_free", "ip6 saddr @" BYPASS_RANGES6 " goto let_up"},

    {"down", FREE " goto down_free"},
    {"down", HELD " return"},
    {"down", "goto down_free"},
    {"down_free", "meta l4proto @filling goto let"},
    {"down_free", "meta l4proto != @open return"},
    {"down_free", "ip daddr @" BYPASS_RANGES4 " goto let_down"},
    {"down_free", "ip6 daddr @" BYPASS_RANGES6 " goto let_down"},

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

/* A socket that listens on any address is nobody's; sockets in a handshake and in TIME-WAIT have
 * no answer to `wildcard`, and are the gate's. */
static const char *free_words(enum intercept_mode mode)
{
    return mode == INTERCEPT_TPROXY ? "socket wildcard 1" : "ct status & dnat != dnat";
}

static const char *held_words(enum intercept_mode mode)
{
    return mode == INTERCEPT_TPROXY ? "socket transparent 1" : "ct status & dnat == dnat";
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

void bypass_form(const struct conf *conf, enum intercept_mode mode, char out[BYPASS_FORM])
{
    snprintf(
        out, BYPASS_FORM, "gate25-bypassd form %d, %s, unit %u, mark 0x%" PRIx32, FORM_VERSION,
        mode == INTERCEPT_TPROXY ? "tproxy" : "redirect", conf->ipv6_unit, mark_of(conf));
}

struct words {
    struct span place, word;
};

/* The rule with its placeholders filled in. */
static int add_rule(const struct words *words, const char *chain, const char *rule, struct buf *out)
{
    if (add(out, "add rule " T " %s ", chain) != 0) {
        return -1;
    }
    while (*rule != '\0') {
        struct span piece = {rule, 1};
        size_t skip = 1;

        for (size_t i = 0; i < PLACES; i++) {
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

static int add_rules(const struct conf *conf, enum intercept_mode mode, struct buf *out)
{
    char mask[ADDR_TEXT], mark[16];

    unit_mask(conf, mask);
    snprintf(mark, sizeof(mark), "0x%" PRIx32, mark_of(conf));
    const struct words words[PLACES] = {
        {SPAN_LITERAL(FREE), span_of(free_words(mode))},
        {SPAN_LITERAL(HELD), span_of(held_words(mode))},
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

/* --- parts of the units --- */

/* One direction of one family: the chain that asks, the field that tells the subscriber. */
static const struct lookup {
    uint8_t family;
    const char *field, *chain, *then;
} lookups[] = {
    {ADDR_IPV4, "ip saddr", "up_free", "let_up"},
    {ADDR_IPV6, "ip6 saddr", "up_free", "let_up"},
    {ADDR_IPV4, "ip daddr", "down_free", "let_down"},
    {ADDR_IPV6, "ip6 daddr", "down_free", "let_down"},
};

static unsigned length_of_unit(const struct conf *conf, uint8_t family)
{
    return family == ADDR_IPV4 ? addr_bits(ADDR_IPV4) : conf->ipv6_unit;
}

/* The address whose only bits are those that tell the part. */
static void part_words(const struct conf *conf, uint8_t family, unsigned bits, char out[ADDR_TEXT])
{
    unsigned behind = addr_bits(family) - length_of_unit(conf, family);
    struct addr a = addr_of_number((addr_number)bits << behind, family);

    addr_format(&a, out);
}

static void part_chain(const struct lookup *l, unsigned part, char out[32])
{
    snprintf(out, 32, "%s%d_%x", l->chain, l->family, part);
}

unsigned bypass_part(const struct prefix *unit)
{
    unsigned behind = addr_bits(unit->addr.family) - unit->len;

    return (unsigned)(addr_to_number(&unit->addr) >> behind) % BYPASS_PARTS;
}

void bypass_units_set(uint8_t family, unsigned part, char out[BYPASS_SET])
{
    snprintf(out, BYPASS_SET, "units%d_%x", family, part % BYPASS_PARTS);
}

static int add_part_sets(struct buf *out)
{
    char set[BYPASS_SET];
    int failed = 0;

    for (unsigned part = 0; part < BYPASS_PARTS; part++) {
        bypass_units_set(ADDR_IPV4, part, set);
        failed |= add(out, "add set " T " %s { type ipv4_addr; flags timeout; }\n", set);
        bypass_units_set(ADDR_IPV6, part, set);
        failed |= add(out, "add set " T " %s { type ipv6_addr; flags timeout; }\n", set);
    }
    return failed;
}

static int add_part_chains(struct buf *out)
{
    char chain[32];
    int failed = 0;

    for (size_t i = 0; i < COUNT(lookups); i++) {
        for (unsigned part = 0; part < BYPASS_PARTS; part++) {
            part_chain(&lookups[i], part, chain);
            failed |= add(out, "add chain " T " %s\n", chain);
        }
    }
    return failed;
}

/* From the asking chain to the part's, where the set is looked into. */
static int add_lookup(const struct conf *conf, const struct lookup *l, struct buf *out)
{
    char chain[32], set[BYPASS_SET], bits[ADDR_TEXT], mask[ADDR_TEXT];
    int failed;

    part_words(conf, l->family, BYPASS_PARTS - 1, bits);
    failed = add(out, "add rule " T " %s %s & %s vmap {", l->chain, l->field, bits);
    for (unsigned part = 0; part < BYPASS_PARTS; part++) {
        part_words(conf, l->family, part, bits);
        part_chain(l, part, chain);
        failed |= add(out, "%s %s : goto %s", part > 0 ? "," : "", bits, chain);
    }
    failed |= add(out, " }\n");
    unit_mask(conf, mask);
    for (unsigned part = 0; part < BYPASS_PARTS; part++) {
        part_chain(l, part, chain);
        bypass_units_set(l->family, part, set);
        failed |= add(out, "add rule " T " %s %s ", chain, l->field);
        failed |= l->family == ADDR_IPV6 ? add(out, "& %s ", mask) : 0;
        failed |= add(out, "@%s goto %s\n", set, l->then);
    }
    return failed;
}

static int add_lookups(const struct conf *conf, struct buf *out)
{
    int failed = 0;

    for (size_t i = 0; i < COUNT(lookups); i++) {
        failed |= add_lookup(conf, &lookups[i], out);
    }
    return failed;
}

int bypass_rules_write(
    const struct conf *conf, enum intercept_mode mode, bool replace, struct buf *out)
{
    char form[BYPASS_FORM];
    int failed = 0;

    bypass_form(conf, mode, form);
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
    failed |= add_part_sets(out);
    for (size_t i = 0; i < COUNT(chains); i++) {
        failed |= add(out, "add chain " T " %s\n", chains[i]);
    }
    failed |= add_part_chains(out);
    failed |= add(out, "flush table " T "\n");
    failed |= add_rules(conf, mode, out);
    failed |= add_lookups(conf, out);
    return failed != 0 ? -1 : 0;
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
