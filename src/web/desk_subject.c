/* What a form, a query or somebody on the telephone calls a subscriber, and whether it is one. */
#include <string.h>

#include "core/account.h"
#include "desk_subscriber.h"

#define LINES_MOST 62 /* bits of a number of lines */

bool desk_id_is_good(struct span id)
{
    return id.len > 0 && id.len < DESK_ID && text_is_plain(id, false) &&
           !memchr(id.at, '{', id.len) && !memchr(id.at, '}', id.len);
}

static bool is_ours(const struct visit *v, const struct prefix *p)
{
    for (size_t i = 0; i < v->conf->prefix_count; i++) {
        const struct prefix *q = &v->conf->prefixes[i];

        if (p->len >= q->len && prefix_contains(q, &p->addr)) {
            return true;
        }
    }
    return false;
}

/* An address stands for its unit. Where it has a standing of its own all the same (gate25ctl gives
 * one to a prefix of full length), that one can be looked at and ended. */
static struct prefix meant_by(const struct visit *v, const struct addr *a)
{
    struct registry_entry entry;

    registry_find(site_registry(v->site), v->conf, a, v->now_ms / 1000, &entry);
    return entry.standing && entry.unit.len == addr_bits(a->family)
               ? entry.unit
               : prefix_unit(a, v->conf->ipv6_unit);
}

/* Written like an address, though none: digits with dots, or hexadecimal digits with colons. */
static bool is_like_address(struct span s)
{
    bool dot = false, colon = false, hex = false;

    for (size_t i = 0; i < s.len && s.at[i] != '/'; i++) {
        char c = s.at[i];

        if (!strchr("0123456789abcdefABCDEF.:", c)) {
            return false;
        }
        dot = dot || c == '.';
        colon = colon || c == ':';
        hex = hex || c > '9' + 1;
    }
    return colon || (dot && !hex);
}

const char *desk_subject_read(const struct visit *v, struct span id, struct desk_subject *out)
{
    enum prefix_error error = prefix_parse(id, &out->prefix);

    if (error == PREFIX_OK || error == PREFIX_HOST_BITS) {
        if (out->prefix.len == addr_bits(out->prefix.addr.family)) {
            out->prefix = meant_by(v, &out->prefix.addr);
        }
        out->is_prefix = true;
        prefix_format(&out->prefix, out->id);
        return is_ours(v, &out->prefix) ? NULL : "foreign";
    }
    if (account_parse(id, out->id)) {
        return NULL;
    }
    if (error == PREFIX_BAD_LENGTH) {
        return "length";
    }
    return is_like_address(id) ? "address" : "account";
}

void desk_put_prefixes(struct visit *v)
{
    json_t *list = json_array();
    char text[PREFIX_TEXT];

    for (size_t i = 0; i < v->conf->prefix_count; i++) {
        prefix_format(&v->conf->prefixes[i], text);
        json_array_append_new(list, json_string(text));
    }
    desk_put(v, "prefixes", list);
}

void desk_fault(struct visit *v, int status, const char *fault, struct span words)
{
    desk_put(v, "fault", json_string(fault));
    desk_put(v, "given", desk_typed(words));
    desk_put_prefixes(v);
    desk_show(v, status, "desk_fault");
}

bool desk_subject_of(struct visit *v, struct span id)
{
    struct desk_subject *s = visit_alloc(v, sizeof(*s));
    const char *fault = desk_subject_read(v, id, s);

    desk_view(v)->more = s;
    if (fault) {
        desk_fault(v, 404, fault, id);
    }
    return !fault;
}

uint64_t desk_lines(const struct visit *v, const struct prefix *p)
{
    unsigned unit = prefix_unit(&p->addr, v->conf->ipv6_unit).len;
    unsigned bits = unit > p->len ? unit - p->len : 0;

    return UINT64_C(1) << (bits < LINES_MOST ? bits : LINES_MOST);
}
