#include "ctl/ctl_subject.h"

#include <stdio.h>
#include <string.h>

static bool is_allowed(const struct conf *conf, const struct prefix *p)
{
    for (size_t i = 0; i < conf->prefix_count; i++) {
        const struct prefix *q = &conf->prefixes[i];

        if (p->len >= q->len && prefix_contains(q, &p->addr)) {
            return true;
        }
    }
    return false;
}

static void name_allowed(const struct conf *conf, struct text *error)
{
    char text[PREFIX_TEXT];

    for (size_t i = 0; i < conf->prefix_count; i++) {
        prefix_format(&conf->prefixes[i], text);
        text_addf(error, "%s %s", i == 0 ? "" : ",", text);
    }
}

static bool read_prefix(struct span s, struct prefix *out, struct text *error)
{
    char masked[PREFIX_TEXT];

    switch (prefix_parse(s, out)) {
    case PREFIX_OK:
        return true;
    case PREFIX_HOST_BITS:
        prefix_format(out, masked);
        text_addf(
            error, "%.*s has bits set behind its length: the prefix is %s", (int)s.len, s.at,
            masked);
        return false;
    case PREFIX_BAD_LENGTH:
        text_addf(
            error, "%.*s: the length of a prefix is 0 to 32 (IPv4) or 0 to 128 (IPv6)", (int)s.len,
            s.at);
        return false;
    default:
        text_addf(error, "%.*s: what stands before the \"/\" is no address", (int)s.len, s.at);
        return false;
    }
}

/* What an address in a wrong form is, no account is either (core/account.h). */
static bool read_account(
    const struct conf *conf, struct span s, struct ctl_subject *out, struct text *error)
{
    if (!account_parse(s, out->id)) {
        text_addf(
            error,
            "\"%.*s\" is neither an address nor a prefix, nor an account, which "
            "is " ACCOUNT_ALLOWED,
            (int)s.len, s.at);
        return false;
    }
    if (conf->leased.count == 0) {
        text_addf(
            error,
            "\"%.*s\" is neither an address nor a prefix; accounts come with leases, for which "
            "leases.prefixes must be set",
            (int)s.len, s.at);
        return false;
    }
    out->account = true;
    return true;
}

bool ctl_subject_parse(
    const struct conf *conf, struct span s, struct ctl_subject *out, struct text *error)
{
    char account[ACCOUNT_TEXT];
    struct addr a;

    *out = (struct ctl_subject){0};
    if (addr_parse(s, &a)) {
        out->address = true;
        out->named = prefix_of(&a, addr_bits(a.family));
        out->prefix = prefix_unit(&a, conf->ipv6_unit);
    } else if (
        s.len == 0 || !memchr(s.at, '/', s.len) ||
        (conf->leased.count > 0 && account_parse(s, account))) {
        return read_account(conf, s, out, error);
    } else if (!read_prefix(s, &out->prefix, error)) {
        return false;
    } else {
        out->named = out->prefix;
    }
    if (!is_allowed(conf, &out->prefix)) {
        text_addf(
            error, "%.*s is not within the subscribers' prefixes, which are:", (int)s.len, s.at);
        name_allowed(conf, error);
        return false;
    }
    prefix_format(&out->prefix, out->id);
    return true;
}

const char *ctl_id_length(const char *id)
{
    struct addr a;

    return addr_parse(span_of(id), &a) && a.family == ADDR_IPV6 ? "/128" : "";
}

const char *ctl_name(const char *id, char room[CTL_ID])
{
    snprintf(room, CTL_ID, "%s%s", id, ctl_id_length(id));
    return room;
}
