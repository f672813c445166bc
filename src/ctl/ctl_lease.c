#include "ctl/ctl_lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/store_keys.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "svc/lease_feed.h"

/* A question, and what its answer says. */
struct look {
    struct ctl *ctl;
    struct lease_question question;
    json_t *list;
    struct lease_entry last; /* that began last; without an account: none */
};

static bool has_ended(const struct ctl *c, const struct lease_entry *e)
{
    return e->account[0] == '\0' || e->until_s <= c->now_s;
}

static void use_leases(void *context, const struct redis_reply *reply)
{
    struct look *l = context;

    for (size_t i = 0; i < redis_reply_count(reply) && i + 2 < l->question.count; i++) {
        const char *unit = l->question.ids[i];
        struct lease_entry e;
        struct span value;

        if (!redis_reply_text(redis_reply_at(reply, i), &value) ||
            !lease_entry_parse(span_of(unit), value, &e) || has_ended(l->ctl, &e)) {
            continue;
        }
        json_array_append_new(
            l->list, json_pack(
                         "{s:s, s:s, s:o, s:o}", "unit", unit, "account", e.account, "since",
                         ctl_time_json(e.began_ms / 1000), "until", ctl_time_json(e.until_s)));
        if (l->last.account[0] == '\0' || e.began_ms > l->last.began_ms) {
            l->last = e;
        }
    }
}

/* The units of an account, as Redis names them, on the heap. */
static void use_units(void *context, const struct redis_reply *reply)
{
    struct span units;
    char **kept = context;

    if (redis_reply_text(reply, &units)) {
        *kept = strndup(units.at, units.len);
    }
}

static int look(struct look *l)
{
    if (l->question.count <= 2) {
        return 0; /* it holds nothing */
    }
    return ctl_call(l->ctl, l->question.words, l->question.count, CTL_ANSWER_MS, use_leases, l);
}

static int look_over(struct look *l, const struct prefix *p)
{
    lease_question_over(&l->question, p);
    return look(l);
}

static int look_of(struct look *l, const char *account)
{
    const struct span words[] = {
        SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_LEASE_ACCOUNTS), span_of(account)};

    char *units = NULL;
    int result = ctl_call(l->ctl, words, 3, CTL_ANSWER_MS, use_units, &units);
    struct span rest = span_of(units != NULL ? units : "");

    /* As many at a time as a question has room for. */
    while (result == 0 && rest.len > 0) {
        lease_question_of(&l->question, rest);
        for (size_t i = 2; i < l->question.count; i++) {
            (void)span_word(&rest);
        }
        result = look(l);
    }
    free(units);
    return result;
}

int ctl_lease_resolve(struct ctl *c, struct ctl_subject *who)
{
    struct look l = {.ctl = c, .list = json_array()};
    int result;

    if (!who->address || !conf_is_leased(c->conf, &who->prefix.addr)) {
        json_decref(l.list);
        return 0;
    }
    result = look_over(&l, &who->named);
    json_decref(l.list);
    if (result == 0 && l.last.account[0] != '\0') {
        who->account = true;
        snprintf(who->id, sizeof(who->id), "%s", l.last.account);
    }
    return result;
}

bool ctl_lease_hides(const struct ctl *c, const struct ctl_subject *who)
{
    return !who->account && conf_is_leased(c->conf, &who->prefix.addr) &&
           who->prefix.len >= prefix_unit(&who->prefix.addr, c->conf->ipv6_unit).len;
}

json_t *ctl_leases_read(struct ctl *c, const struct ctl_subject *who)
{
    struct look l = {.ctl = c, .list = json_array()};
    int result = who->account ? look_of(&l, who->id) : look_over(&l, &who->prefix);

    if (result != 0) {
        json_decref(l.list);
        return NULL;
    }
    return l.list;
}

void ctl_leases_print(const json_t *leases)
{
    for (size_t i = 0; i < json_array_size(leases); i++) {
        const char *unit, *account, *since = NULL, *until = NULL;

        json_unpack(
            json_array_get(leases, i), "{s:s, s:s, s?s, s?s}", "unit", &unit, "account", &account,
            "since", &since, "until", &until);
        ctl_print_rowf(
            i == 0 ? "leases" : "", "%s, account %s since %s, until %s", unit, account,
            since ? since : "?", until ? until : "?");
    }
}
