#include "ctl/ctl_narrower.h"

#include "core/store_keys.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"

#define LENGTHS 128 /* of IPv6, that may be longer than a unit's */
#define LINE    1024

struct search {
    const struct ctl *ctl;
    char ids[LENGTHS][PREFIX_TEXT]; /* of ever shorter prefixes */
    size_t count;
    bool held; /* the one that holds is found, or none may (svc/registry.h, of leases) */
    json_t *found;
};

static void add(struct search *s, const char *id, struct span class, int64_t until_s)
{
    bool known = conf_class_named(s->ctl->conf, class) != NULL;
    bool ended = until_s != 0 && until_s <= s->ctl->now_s;
    bool holds = known && !ended && !s->held;

    s->held = s->held || holds;
    json_array_append_new(
        s->found, json_pack(
                      "{s:s, s:o, s:b, s:o, s:b, s:b}", "id", id, "class", ctl_text_json(class),
                      "class_known", known, "until", ctl_time_json(until_s), "ended", ended,
                      "in_force", holds));
}

static void use_values(void *context, const struct redis_reply *reply)
{
    struct search *s = context;

    for (size_t i = 0; i < s->count; i++) {
        struct span value, class;
        int64_t until_s;

        if (redis_reply_text(redis_reply_at(reply, i), &value) &&
            standing_parse(value, &class, &until_s)) {
            add(s, s->ids[i], class, until_s);
        }
    }
}

static int ask(struct ctl *c, const struct ctl_subject *who, struct search *s)
{
    struct span words[LENGTHS + 2] = {SPAN_LITERAL("HMGET"), SPAN_LITERAL(STORE_STANDINGS)};

    for (unsigned len = who->named.len; len > who->prefix.len; len--) {
        struct prefix p = prefix_of(&who->named.addr, len);

        prefix_format(&p, s->ids[s->count]);
        words[s->count + 2] = span_of(s->ids[s->count]);
        s->count++;
    }
    return s->count == 0 ? 0 : ctl_call(c, words, s->count + 2, CTL_ANSWER_MS, use_values, s);
}

json_t *ctl_narrower_read(struct ctl *c, const struct ctl_subject *who)
{
    struct search s = {
        .ctl = c, .held = conf_is_leased(c->conf, &who->prefix.addr), .found = json_array()};

    if (!who->account && ask(c, who, &s) != 0) {
        json_decref(s.found);
        return NULL;
    }
    return s.found;
}

static bool is_true(const json_t *one, const char *name)
{
    return json_is_true(json_object_get(one, name));
}

static const char *words(const json_t *one, const char *name)
{
    const char *found = json_string_value(json_object_get(one, name));

    return found != NULL ? found : "";
}

static void add_row(const struct ctl *c, const json_t *one, struct text *t)
{
    const char *until = words(one, "until");
    bool holds = is_true(one, "in_force");
    char name[CTL_ID];

    text_addf(t, "%s: class %s", ctl_name(words(one, "id"), name), words(one, "class"));
    text_addf(t, "%s%s", until[0] == '\0' ? "" : " until ", until);
    text_addf(t, "%s", is_true(one, "ended") ? " (ended)" : "");
    text_addf(t, "%s", is_true(one, "class_known") ? "" : " (" CTL_CLASS_UNKNOWN ")");
    text_addf(t, "%s%s", holds ? ", in force for " : "", holds ? c->options->argument : "");
}

void ctl_narrower_print(const struct ctl *c, const json_t *narrower)
{
    for (size_t i = 0; i < json_array_size(narrower); i++) {
        char line[LINE];
        struct text t;

        text_init(&t, line, sizeof(line));
        add_row(c, json_array_get(narrower, i), &t);
        ctl_print_row("narrower", text_span(&t));
    }
}
