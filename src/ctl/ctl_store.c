#include "ctl/ctl_store.h"

#include <stdio.h>
#include <string.h>

#include "core/store_keys.h"
#include "ctl/ctl_text.h"
#include "svc/redis_url.h"

#define LENGTHS 129 /* prefix lengths of IPv6 */

/* --- asking --- */

static void on_state(void *context, bool up)
{
    struct ctl *c = context;

    /* Whoever waits for an answer is told by its own callback. */
    if (up) {
        event_base_loopbreak(c->base);
    }
}

/* Sentinels and a cluster have to be asked first where to go. */
static unsigned connect_seconds(const struct ctl *c)
{
    return (c->conf->redis.kind == REDIS_ALONE ? CTL_CONNECT_MS : CTL_DISCOVER_MS) / 1000;
}

static void say_unreachable(const struct ctl *c)
{
    char place[CONF_REDIS_PLACES * 300];
    struct text name;

    text_init(&name, place, sizeof(place));
    redis_url_name(&c->conf->redis, &name);
    ctl_say(
        "no connection to Redis at %s within %u seconds: %s", place, connect_seconds(c),
        redis_trouble(c->redis));
}

int ctl_connect(struct ctl *c, const char *functions)
{
    const struct redis_options options = {
        .where = &c->conf->redis, .functions = functions, .state = on_state, .context = c};
    const struct timeval most = {connect_seconds(c), 0};

    c->redis = redis_new(c->base, &options);
    if (c->redis == NULL) {
        ctl_say("out of memory");
        return -1;
    }
    if (!redis_is_up(c->redis)) {
        event_base_loopexit(c->base, &most);
        event_base_dispatch(c->base);
    }
    if (redis_is_up(c->redis)) {
        return 0;
    }
    say_unreachable(c);
    return -1;
}

struct question {
    struct ctl *ctl;
    ctl_reply_cb use;
    void *context;
};

static void settle(struct ctl *c, int result)
{
    c->answered = result;
    c->waiting = false;
    event_base_loopbreak(c->base);
}

static void set_trouble(struct ctl *c, const char *what, struct span message)
{
    struct text t;

    text_init(&t, c->trouble, sizeof(c->trouble));
    text_add(&t, span_of(what));
    text_add(&t, message);
}

static void on_reply(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct question *q = context;
    struct span message;

    (void)ticket;
    if (reply == NULL) {
        set_trouble(q->ctl, "Redis did not answer", (struct span){"", 0});
    } else if (redis_reply_is_error(reply, &message)) {
        set_trouble(q->ctl, "Redis says: ", message);
    } else {
        q->use(q->context, reply);
        settle(q->ctl, 0);
        return;
    }
    settle(q->ctl, -1);
}

static int wait_for_answer(struct ctl *c)
{
    while (c->waiting && event_base_dispatch(c->base) == 0) {
    }
    return c->waiting ? -1 : c->answered;
}

int ctl_ask(
    struct ctl *c, const struct span *words, size_t count, uint32_t deadline_ms, ctl_reply_cb use,
    void *context)
{
    struct question q = {c, use, context};

    c->waiting = true;
    if (redis_call(c->redis, words, count, deadline_ms, on_reply, &q, 0) != 0) {
        set_trouble(c, "the connection to Redis is lost", (struct span){"", 0});
        c->waiting = false;
        return -1;
    }
    return wait_for_answer(c);
}

int ctl_call(
    struct ctl *c, const struct span *words, size_t count, uint32_t deadline_ms, ctl_reply_cb use,
    void *context)
{
    if (ctl_ask(c, words, count, deadline_ms, use, context) != 0) {
        ctl_say("%s", c->trouble);
        return -1;
    }
    return 0;
}

static void on_written(void *context, bool ok, struct span error)
{
    if (error.len > 0) {
        ctl_say("Redis: %.*s", (int)error.len, error.at);
    }
    settle(context, ok ? 0 : -1);
}

int ctl_standing_set(struct ctl *c, const struct standing *s)
{
    c->waiting = true;
    standings_set(c->redis, s, CTL_ANSWER_MS, on_written, c);
    return wait_for_answer(c);
}

int ctl_standing_remove(struct ctl *c, const struct standing *s)
{
    c->waiting = true;
    standings_remove(c->redis, s, CTL_ANSWER_MS, on_written, c);
    return wait_for_answer(c);
}

/* --- reading standings --- */

static void copy(char *out, size_t cap, struct span value)
{
    struct text t;

    text_init(&t, out, cap);
    text_add(&t, value);
}

static int64_t number(struct span value)
{
    uint64_t n = 0;

    return span_number(value, INT64_MAX, &n) ? (int64_t)n : 0;
}

static void use_details(void *context, const struct redis_reply *reply)
{
    struct ctl_standing *s = context;
    size_t count = redis_reply_count(reply);

    for (size_t i = 0; i + 1 < count; i += 2) {
        struct span name, value;

        if (!redis_reply_text(redis_reply_at(reply, i), &name) ||
            !redis_reply_text(redis_reply_at(reply, i + 1), &value)) {
            continue;
        }
        if (span_equal(name, SPAN_LITERAL("since"))) {
            s->since_s = number(value);
        } else if (span_equal(name, SPAN_LITERAL("by"))) {
            copy(s->by, sizeof(s->by), value);
        } else if (span_equal(name, SPAN_LITERAL("reason"))) {
            copy(s->reason, sizeof(s->reason), value);
        } else if (span_equal(name, SPAN_LITERAL("note"))) {
            copy(s->note, sizeof(s->note), value);
        }
    }
}

/* Class and end come from STORE_STANDINGS, which is what the gates go by. */
static int read_details(struct ctl *c, struct ctl_standing *s)
{
    char key[STORE_KEY];
    const struct span words[] = {
        SPAN_LITERAL("HGETALL"), store_key(STORE_KEY_STANDING, span_of(s->id), key)};

    return ctl_call(c, words, 2, CTL_ANSWER_MS, use_details, s);
}

bool ctl_class_known(const struct ctl *c, const char *class)
{
    return conf_class_named(c->conf, span_of(class)) != NULL;
}

void ctl_class_list(const struct ctl *c, struct text *out)
{
    for (size_t i = 0; i < c->conf->class_count; i++) {
        text_addf(out, "%s%s", i == 0 ? "" : ", ", c->conf->classes[i].name);
    }
}

bool ctl_standing_ended(const struct ctl *c, const struct ctl_standing *s)
{
    return s->until_s != 0 && s->until_s <= c->now_s;
}

static bool fill(struct ctl_standing *s, const struct redis_reply *value)
{
    struct span text, class;

    if (value == NULL || !redis_reply_text(value, &text) ||
        !standing_parse(text, &class, &s->until_s)) {
        return false;
    }
    copy(s->class, sizeof(s->class), class);
    s->found = true;
    return true;
}

struct search {
    const struct ctl *ctl;
    const struct prefix *p;
    struct ctl_standing *out, *passed;
};

static void use_exact(void *context, const struct redis_reply *reply)
{
    fill(context, reply);
}

int ctl_standing_read(struct ctl *c, const char *id, struct ctl_standing *out)
{
    struct span words[] = {SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_STANDINGS), {out->id, 0}};

    *out = (struct ctl_standing){0};
    copy(out->id, sizeof(out->id), span_of(id));
    words[2] = span_of(out->id);
    if (ctl_call(c, words, 3, CTL_ANSWER_MS, use_exact, out) != 0) {
        return -1;
    }
    return out->found ? read_details(c, out) : 0;
}

/* The reply lists the values of ever shorter prefixes. */
static void use_covering(void *context, const struct redis_reply *reply)
{
    struct search *s = context;

    for (unsigned i = 0; i <= s->p->len; i++) {
        struct ctl_standing candidate = {0};

        if (!fill(&candidate, redis_reply_at(reply, i)) || ctl_standing_ended(s->ctl, &candidate)) {
            continue;
        }
        struct prefix shorter = prefix_of(&s->p->addr, s->p->len - i);
        prefix_format(&shorter, candidate.id);
        if (ctl_class_known(s->ctl, candidate.class)) {
            *s->out = candidate;
            return;
        }
        if (!s->passed->found) {
            *s->passed = candidate;
        }
    }
}

static int read_over(
    struct ctl *c, const struct prefix *p, struct ctl_standing *out, struct ctl_standing *passed)
{
    char ids[LENGTHS][PREFIX_TEXT];
    struct span words[LENGTHS + 2] = {SPAN_LITERAL("HMGET"), SPAN_LITERAL(STORE_STANDINGS)};
    struct ctl_standing unknown = {0};
    struct search search = {c, p, out, &unknown};

    *out = (struct ctl_standing){0};
    for (unsigned i = 0; i <= p->len; i++) {
        struct prefix shorter = prefix_of(&p->addr, p->len - i);

        prefix_format(&shorter, ids[i]);
        words[i + 2] = span_of(ids[i]);
    }
    if (ctl_call(c, words, p->len + 3U, CTL_ANSWER_MS, use_covering, &search) != 0) {
        return -1;
    }
    if (passed != NULL) {
        *passed = unknown;
    }
    return out->found ? read_details(c, out) : 0;
}

/* What was said of a unit that is handed out by lease was said of somebody who was there once. */
static struct prefix counted(const struct ctl *c, const struct prefix *p)
{
    unsigned unit = prefix_unit(&p->addr, c->conf->ipv6_unit).len;

    return conf_is_leased(c->conf, &p->addr) && p->len >= unit ? prefix_of(&p->addr, unit - 1) : *p;
}

int ctl_standing_over(
    struct ctl *c, const struct ctl_subject *who, struct ctl_standing *out,
    struct ctl_standing *passed)
{
    struct prefix p = counted(c, &who->prefix);

    if (passed != NULL) {
        *passed = (struct ctl_standing){0};
    }
    if (who->account) {
        if (ctl_standing_read(c, who->id, out) != 0) {
            return -1;
        }
        if (out->found && !ctl_standing_ended(c, out) && ctl_class_known(c, out->class)) {
            return 0;
        }
        if (passed != NULL && out->found && !ctl_standing_ended(c, out)) {
            *passed = *out;
        }
        *out = (struct ctl_standing){0};
    }
    return who->prefix.addr.family == ADDR_NONE ? 0 : read_over(c, &p, out, passed);
}
