#include "bypass/bypass_rules.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORM_VERSION 2
#define LINE         512
#define T            "inet " BYPASS_TABLE
#define LASTING_S    3600 /* for what is open, behind hold_ms */
#define FILLING_S    30
#define ENDED_S      600

/* A chain between connection tracking and what most rules for marks and TPROXY use. */
#define EARLY "early { type filter hook prerouting priority mangle - 10; policy accept; }"

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
    EARLY,       "up_free",   "down_free", "up_other", "down_other", "let_up4", "let_up6",
    "let_down4", "let_down6", "new4",      "new6",     "let",        "held",    "ended",
};

#define SYN "tcp flags & (syn | ack) == syn"
#define MID "tcp flags & (syn | ack) != syn"
#define OLD "tcp flags & (syn | rst) == 0"
/* Placeholders of rules: */
#define HELD   "<HELD>" /* what tells that the gate may have the connection; `held` looks closer */
#define FREE   "<FREE>" /* what tells that it has none, though something is found */
#define UNIT   "<UNIT>" /* the mask that makes an IPv6 address its unit's */
#define MARK   "<MARK>" /* the bit */
#define PLACES 4

#define LET "meta mark set meta mark | " MARK " "

/* What a packet that is let by costs is felt (the sender pays for it, within send()): it passes
 * this one hook, few rules, two or three sets, one look for a socket, and one set that counts.
 * Whoever is in no set costs no look for a socket.
 *
 *   early -> up_free -> part's chain -> let_up4 -> new4
 *               |  in no set               | the gate has it
 *            up_other                    held
 *
 * Chains are jumped to from where their end would lead on: each way ends with `accept`, with the
 * mark or without. Counting may fail, and ends its own rule then: the mark before it, and the
 * `accept` once more behind it. */

/* chain, rule */
static const char *const rules[][2] = {
    {"early", "tcp dport 25 goto up_free"},
    {"early", "tcp sport 25 goto down_free"},

    {"up_free", "meta l4proto != @open goto up_other"},
    {"up_free", NULL}, /* to the parts, see add_dispatch() */
    {"up_free", "ip saddr @" BYPASS_RANGES4 " goto let_up4"},
    {"up_free", "ip6 saddr @" BYPASS_RANGES6 " goto let_up6"},
    {"up_free", "goto up_other"},
    {"up_other", MID " meta l4proto @filling goto let"},

    /* Not asked: are we alive? A server's packets would be routed on without the mark as well. */
    {"down_free", NULL}, /* to the parts, see add_dispatch() */
    {"down_free", "ip daddr @" BYPASS_RANGES4 " goto let_down4"},
    {"down_free", "ip6 daddr @" BYPASS_RANGES6 " goto let_down6"},
    {"down_free", "goto down_other"},
    {"down_other", "meta l4proto @filling goto let"},

    {"let_up4", HELD " jump held"},
    {"let_up4", SYN " goto new4"},
    {"let_up4", LET "counter name \"up\" update @up4 { ip saddr } accept"},
    {"let_up4", "accept"},
    {"let_up6", HELD " jump held"},
    {"let_up6", SYN " goto new6"},
    {"let_up6", LET "counter name \"up\" update @up6 { ip6 saddr & " UNIT " } accept"},
    {"let_up6", "accept"},
    {"new4", "meta l4proto != @fresh accept"},
    {"new4", LET "counter name \"up\" counter name \"opened\" update @opened4 { ip saddr }"},
    {"new4", "update @up4 { ip saddr }"},
    {"new4", "accept"},
    {"new6", "meta l4proto != @fresh accept"},
    {"new6", LET "counter name \"up\" counter name \"opened\" "
                 "update @opened6 { ip6 saddr & " UNIT " }"},
    {"new6", "update @up6 { ip6 saddr & " UNIT " }"},
    {"new6", "accept"},
    {"let_down4", HELD " jump held"},
    {"let_down4", LET "counter name \"down\" update @down4 { ip daddr } accept"},
    {"let_down4", "accept"},
    {"let_down6", HELD " jump held"},
    {"let_down6", LET "counter name \"down\" update @down6 { ip6 daddr & " UNIT " } accept"},
    {"let_down6", "accept"},
    {"let", HELD " jump held"},
    {"let", LET "accept"},
    {"held", FREE " return"},
    {"held", "accept"},

    /* A connection whose bypass was ended: the subscriber's end is reset by what takes his packets
     * now, or by these where nothing does (see redirect_rules), the server's end by these. */
    {"down_other", OLD " ip daddr @ended4 goto ended"},
    {"down_other", OLD " ip6 daddr & " UNIT " @ended6 goto ended"},
    {"down_other", OLD " ip daddr @ended_ranges4 goto ended"},
    {"down_other", OLD " ip6 daddr @ended_ranges6 goto ended"},
    {"ended", HELD " jump held"},
    {"ended", "reject with tcp reset"},
};

/* With REDIRECT what the gate has no connection of is routed on. With TPROXY it is the gate's. */
static const char *const redirect_rules[][2] = {
    {"up_other", OLD " ip saddr @ended4 goto ended"},
    {"up_other", OLD " ip6 saddr & " UNIT " @ended6 goto ended"},
    {"up_other", OLD " ip saddr @ended_ranges4 goto ended"},
    {"up_other", OLD " ip6 saddr @ended_ranges6 goto ended"},
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

/* --- parts of the units --- */

/* One direction of one family: the chain that asks, the field that tells the subscriber. */
static const struct lookup {
    uint8_t family;
    const char *field, *chain, *then;
} lookups[] = {
    {ADDR_IPV4, "ip saddr", "up_free", "let_up4"},
    {ADDR_IPV6, "ip6 saddr", "up_free", "let_up6"},
    {ADDR_IPV4, "ip daddr", "down_free", "let_down4"},
    {ADDR_IPV6, "ip6 daddr", "down_free", "let_down6"},
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

/* The map from the bits that tell the part to its chain. */
static void map_name(const struct lookup *l, char out[32])
{
    snprintf(out, 32, "%s%d", l->chain, l->family);
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

/* To a packet that is still under way in the old rules when these are replaced, what a map of such
 * a rule's own holds is gone already (what a set holds is not). So the maps have names, stay, and
 * hold the same from one time to the next: adding what is there changes nothing. */
static int add_part_map(const struct conf *conf, const struct lookup *l, struct buf *out)
{
    char map[32], chain[32], bits[ADDR_TEXT];
    int failed;

    map_name(l, map);
    failed =
        add(out, "add map " T " %s { type %s : verdict; size %d; }\nadd element " T " %s {", map,
            l->family == ADDR_IPV4 ? "ipv4_addr" : "ipv6_addr", BYPASS_PARTS, map);
    for (unsigned part = 0; part < BYPASS_PARTS; part++) {
        part_words(conf, l->family, part, bits);
        part_chain(l, part, chain);
        failed |= add(out, "%s %s : jump %s", part > 0 ? "," : "", bits, chain);
    }
    return failed | add(out, " }\n");
}

static int add_part_maps(const struct conf *conf, struct buf *out)
{
    int failed = 0;

    for (size_t i = 0; i < COUNT(lookups); i++) {
        failed |= add_part_map(conf, &lookups[i], out);
    }
    return failed;
}

/* From the asking chain to the part's, and back for who is not in it. */
static int add_dispatch(const struct conf *conf, const struct lookup *l, struct buf *out)
{
    char map[32], bits[ADDR_TEXT];

    map_name(l, map);
    part_words(conf, l->family, BYPASS_PARTS - 1, bits);
    return add(out, "add rule " T " %s %s & %s vmap @%s\n", l->chain, l->field, bits, map);
}

static int add_dispatches(const struct conf *conf, const char *chain, struct buf *out)
{
    int failed = 0;

    for (size_t i = 0; i < COUNT(lookups); i++) {
        failed |= strcmp(lookups[i].chain, chain) == 0 ? add_dispatch(conf, &lookups[i], out) : 0;
    }
    return failed;
}

/* The parts' chains, where the sets are looked into. */
static int add_lookups(const struct conf *conf, struct buf *out)
{
    char chain[32], set[BYPASS_SET], mask[ADDR_TEXT];
    int failed = 0;

    unit_mask(conf, mask);
    for (size_t i = 0; i < COUNT(lookups); i++) {
        const struct lookup *l = &lookups[i];

        for (unsigned part = 0; part < BYPASS_PARTS; part++) {
            part_chain(l, part, chain);
            bypass_units_set(l->family, part, set);
            failed |= add(out, "add rule " T " %s %s ", chain, l->field);
            failed |= l->family == ADDR_IPV6 ? add(out, "& %s ", mask) : 0;
            failed |= add(out, "@%s goto %s\n", set, l->then);
        }
    }
    return failed;
}

/* --- all of it --- */

static int add_rules(const struct conf *conf, enum intercept_mode mode, struct buf *out)
{
    char mask[ADDR_TEXT], mark[16];
    int failed = 0;

    unit_mask(conf, mask);
    snprintf(mark, sizeof(mark), "0x%" PRIx32, mark_of(conf));
    const struct words words[PLACES] = {
        {SPAN_LITERAL(HELD), span_of(held_words(mode))},
        {SPAN_LITERAL(FREE), span_of(free_words(mode))},
        {SPAN_LITERAL(UNIT), span_of(mask)},
        {SPAN_LITERAL(MARK), span_of(mark)},
    };
    for (size_t i = 0; i < COUNT(rules); i++) {
        failed |= rules[i][1] == NULL ? add_dispatches(conf, rules[i][0], out)
                                      : add_rule(words, rules[i][0], rules[i][1], out);
    }
    for (size_t i = 0; i < COUNT(redirect_rules) && mode == INTERCEPT_REDIRECT; i++) {
        failed |= add_rule(words, redirect_rules[i][0], redirect_rules[i][1], out);
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
    failed |= add_part_maps(conf, out);
    failed |= add(out, "flush table " T "\n");
    failed |= add_rules(conf, mode, out);
    failed |= add_lookups(conf, out);
    return failed != 0 ? -1 : 0;
}

int64_t bypass_rules_open_s(uint32_t hold_ms)
{
    return hold_ms / 1000 + LASTING_S;
}

int bypass_rules_beat(uint32_t hold_ms, struct buf *out)
{
    return add(
        out,
        "flush set " T " fresh\nflush set " T " open\n"
        "add element " T " fresh { tcp timeout %us }\nadd element " T " open { tcp timeout %" PRId64
        "s }\n",
        hold_ms / 1000, bypass_rules_open_s(hold_ms));
}

int bypass_rules_filling(bool filling, struct buf *out)
{
    if (add(out, "flush set " T " filling\n") != 0) {
        return -1;
    }
    return filling ? add(out, "add element " T " filling { tcp timeout %ds }\n", FILLING_S) : 0;
}
