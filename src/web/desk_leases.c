/* Who holds a subscriber's address, and which addresses an account holds. */
#include <string.h>

#include "desk_subscriber.h"
#include "svc/lease_feed.h"

static struct desk_subject *subject_of(struct visit *v)
{
    return desk_view(v)->more;
}

bool desk_is_passed_over(const struct visit *v, const struct prefix *p)
{
    return conf_is_leased(v->conf, &p->addr) &&
           p->len >= prefix_unit(&p->addr, v->conf->ipv6_unit).len;
}

static void put_leases(struct visit *v, json_t *list)
{
    bool any = json_array_size(list) > 0;

    desk_put(v, "leases", list);
    desk_put(v, "any_leases", json_boolean(any));
    desk_put(v, "with_leases", json_boolean(any || v->conf->leased.count > 0));
}

/* What has ended is no lease. */
static void add_lease(struct visit *v, json_t *list, struct span unit, struct span value)
{
    struct lease_entry e;

    if (!lease_entry_parse(unit, value, &e) || e.account[0] == '\0' ||
        e.until_s * 1000 <= v->now_ms) {
        return;
    }
    json_array_append_new(
        list, json_pack(
                  "{s:o, s:s, s:o, s:o}", "unit", visit_text(unit), "account", e.account, "since",
                  visit_time(e.began_ms), "until", visit_time(e.until_s * 1000)));
}

static void take_covering(struct visit *v, const struct redis_reply *reply)
{
    const struct prefix *p = &subject_of(v)->prefix;
    json_t *list = json_array();

    for (size_t i = 0; i < redis_reply_count(reply) && i <= p->len; i++) {
        struct prefix shorter = prefix_of(&p->addr, p->len - (unsigned)i);
        char unit[PREFIX_TEXT];
        struct span value;

        if (redis_reply_text(redis_reply_at(reply, i), &value)) {
            prefix_format(&shorter, unit);
            add_lease(v, list, span_of(unit), value);
        }
    }
    put_leases(v, list);
}

static void take_held(struct visit *v, const struct redis_reply *reply)
{
    const struct lease_question *q = subject_of(v)->leases;
    json_t *list = json_array();

    for (size_t i = 0; i < redis_reply_count(reply) && i + 2 < q->count; i++) {
        struct span value;

        if (redis_reply_text(redis_reply_at(reply, i), &value)) {
            add_lease(v, list, q->words[i + 2], value);
        }
    }
    put_leases(v, list);
}

static void take_units(struct visit *v, const struct redis_reply *reply)
{
    struct desk_subject *s = subject_of(v);
    struct span units;

    if (!redis_reply_text(reply, &units) || units.len == 0) {
        return;
    }
    s->leases = visit_alloc(v, sizeof(*s->leases));
    lease_question_of(s->leases, units);
    visit_ask(v, s->leases->words, s->leases->count, take_held);
}

void desk_ask_leases(struct visit *v)
{
    struct desk_subject *s = subject_of(v);
    const struct span units[] = {
        SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_LEASE_ACCOUNTS), span_of(s->id)};

    put_leases(v, json_array());
    if (!s->is_prefix) {
        visit_ask(v, units, 3, take_units);
        return;
    }
    s->leases = visit_alloc(v, sizeof(*s->leases));
    lease_question_over(s->leases, &s->prefix);
    visit_ask(v, s->leases->words, s->leases->count, take_covering);
}
