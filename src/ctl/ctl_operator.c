#include <stdio.h>
#include <string.h>

#include "core/store_keys.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"
#include "ctl/ctl_who.h"
#include "svc/operators.h"
#include "svc/password.h"
#include "svc/trail.h"

#define ALLOWED "add NAME --role ROLE, passwd NAME, remove NAME, list"

/* One run of the verb. */
struct change {
    struct ctl *ctl;
    struct span name;
    struct operator_record record; /* as it is, then as it shall be */
    bool found;
    int64_t number; /* that Redis answered */
    char hash[PASSWORD_HASH], old[OPERATOR_RECORD];
};

/* --- asking --- */

static void use_number(void *context, const struct redis_reply *reply)
{
    struct change *h = context;

    (void)redis_reply_integer(reply, &h->number);
}

static void use_record(void *context, const struct redis_reply *reply)
{
    struct change *h = context;
    struct span value;
    struct text t;

    if (redis_reply_text(reply, &value)) {
        text_init(&t, h->old, sizeof(h->old));
        text_add(&t, value);
        h->found = operator_parse(text_span(&t), &h->record);
    }
}

static int record_read(struct change *h)
{
    const struct span words[] = {SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_OPERATORS), h->name};

    return ctl_call(h->ctl, words, 3, CTL_ANSWER_MS, use_record, h);
}

static int record_write(struct change *h, const char *command)
{
    char array[OPERATOR_RECORD];
    const struct span words[] = {
        span_of(command), SPAN_LITERAL(STORE_OPERATORS), h->name,
        operator_format(&h->record, array)};

    return ctl_call(h->ctl, words, 4, CTL_ANSWER_MS, use_number, h);
}

static void ignore(void *context, const struct redis_reply *reply)
{
    (void)context, (void)reply;
}

/* The trail says who made whom an operator. -1: it could not be written, and that was said. */
static int leave_trail(struct change *h, const char *what, const char *detail)
{
    char by[CTL_WHO];
    struct span words[TRAIL_WORDS];
    size_t count;

    ctl_who(by);
    count = trail_words(
        &(struct trail_entry){
            .what = span_of(what),
            .by = span_of(h->ctl->options->by == NULL ? by : h->ctl->options->by),
            .about = h->name,
            .detail = span_of(detail)},
        words);
    return ctl_call(h->ctl, words, count, CTL_ANSWER_MS, ignore, NULL);
}

/* --- passwords --- */

static bool ask_password(struct change *h)
{
    char first[CTL_SECRET] = "", second[CTL_SECRET] = "", why[256];
    struct text error;
    bool good;

    text_init(&error, why, sizeof(why));
    good =
        ctl_read_secret("New password", first, &error) && password_is_good(span_of(first), &error);
    if (good && ctl_has_terminal()) {
        good = ctl_read_secret("Again", second, &error);
        if (good && strcmp(first, second) != 0) {
            text_addf(&error, "the two are not the same");
            good = false;
        }
    }
    if (good && password_hash(span_of(first), h->hash) != 0) {
        text_addf(&error, "the password cannot be hashed: no memory, or no random numbers");
        good = false;
    }
    explicit_bzero(first, sizeof(first));
    explicit_bzero(second, sizeof(second));
    if (!good) {
        ctl_say("%s", why);
        return false;
    }
    h->record.hash = span_of(h->hash);
    return true;
}

/* --- the four --- */

static enum ctl_exit done(const struct change *h, const char *what)
{
    const struct ctl_options *o = h->ctl->options;

    if (o->json) {
        json_t *line = json_pack(
            "{s:s, s:o, s:s, s:b}", "operator", o->arguments[0], "name", ctl_text_json(h->name),
            "role", operator_role_name(h->record.role), "password", h->record.hash.len > 0);

        return ctl_json_print(line) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    printf("%.*s %s\n", (int)h->name.len, h->name.at, what);
    return CTL_DONE;
}

static enum ctl_exit add(struct change *h)
{
    const struct ctl_options *o = h->ctl->options;
    char detail[64];

    if (o->role == NULL || !operator_role_parse(span_of(o->role), &h->record.role)) {
        ctl_say("operator add wants --role viewer, agent or admin");
        return CTL_USAGE;
    }
    if (!o->no_password && !ask_password(h)) {
        return CTL_REFUSED;
    }
    h->record.since_s = h->ctl->now_s;
    if (record_write(h, "HSETNX") != 0) {
        return CTL_REFUSED;
    }
    if (h->number == 0) {
        ctl_say(
            "%.*s is an operator already: \"operator passwd\" gives another password, \"operator "
            "remove\" and \"operator add\" another role",
            (int)h->name.len, h->name.at);
        return CTL_REFUSED;
    }
    snprintf(
        detail, sizeof(detail), "%s%s", o->role, o->no_password ? ", single sign-on alone" : "");
    if (leave_trail(h, "operator-add", detail) != 0) {
        return CTL_REFUSED;
    }
    snprintf(detail, sizeof(detail), "may work at the desk as %s", o->role);
    return done(h, detail);
}

static enum ctl_exit say_unknown(const struct change *h)
{
    ctl_say("there is no operator %.*s", (int)h->name.len, h->name.at);
    return CTL_REFUSED;
}

static enum ctl_exit passwd(struct change *h)
{
    if (record_read(h) != 0) {
        return CTL_REFUSED;
    }
    if (!h->found) {
        return say_unknown(h);
    }
    if (!ask_password(h)) {
        return CTL_REFUSED;
    }
    /* Never the same again: sessions that began with the old password end with it. */
    h->record.since_s = h->ctl->now_s > h->record.since_s ? h->ctl->now_s : h->record.since_s + 1;
    if (record_write(h, "HSET") != 0 || leave_trail(h, "operator-passwd", "") != 0) {
        return CTL_REFUSED;
    }
    return done(h, "has a new password");
}

static enum ctl_exit remove_operator(struct change *h)
{
    const struct span words[] = {SPAN_LITERAL("HDEL"), SPAN_LITERAL(STORE_OPERATORS), h->name};

    if (record_read(h) != 0 || ctl_call(h->ctl, words, 3, CTL_ANSWER_MS, use_number, h) != 0) {
        return CTL_REFUSED;
    }
    if (h->number == 0) {
        return say_unknown(h);
    }
    if (leave_trail(h, "operator-remove", "") != 0) {
        return CTL_REFUSED;
    }
    return done(h, "is no operator any more");
}

static void use_list(void *context, const struct redis_reply *reply)
{
    json_t *all = context;

    for (size_t i = 0; i + 1 < redis_reply_count(reply); i += 2) {
        struct operator_record r;
        struct span name, value;

        if (redis_reply_text(redis_reply_at(reply, i), &name) &&
            redis_reply_text(redis_reply_at(reply, i + 1), &value) && operator_parse(value, &r)) {
            json_array_append_new(
                all, json_pack(
                         "{s:o, s:s, s:b, s:o}", "name", ctl_text_json(name), "role",
                         operator_role_name(r.role), "password", r.hash.len > 0, "since",
                         ctl_time_json(r.since_s)));
        }
    }
}

static enum ctl_exit list(struct change *h)
{
    const struct span words[] = {SPAN_LITERAL("HGETALL"), SPAN_LITERAL(STORE_OPERATORS)};
    json_t *all = json_array();

    if (ctl_call(h->ctl, words, 2, CTL_ANSWER_MS, use_list, all) != 0) {
        json_decref(all);
        return CTL_REFUSED;
    }
    if (h->ctl->options->json) {
        return ctl_json_print(all) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);

        printf(
            "%-24s %-8s since %s%s\n", json_string_value(json_object_get(one, "name")),
            json_string_value(json_object_get(one, "role")),
            json_string_value(json_object_get(one, "since")),
            json_is_true(json_object_get(one, "password")) ? "" : ", single sign-on alone");
    }
    json_decref(all);
    return CTL_DONE;
}

enum ctl_exit ctl_operator(struct ctl *c)
{
    static const struct {
        const char *name;
        bool named; /* wants a name */
        enum ctl_exit (*run)(struct change *h);
    } actions[] = {
        {"add", true, add},
        {"passwd", true, passwd},
        {"remove", true, remove_operator},
        {"list", false, list},
    };
    const char *action = c->options->arguments[0], *name = c->options->arguments[1];
    struct change h = {.ctl = c};

    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, action) != 0) {
            continue;
        }
        if (actions[i].named != (name != NULL)) {
            ctl_say("operator %s %s", action, name == NULL ? "wants a NAME" : "takes no NAME");
            return CTL_USAGE;
        }
        if (name != NULL && !operator_name_is_good(span_of(name))) {
            ctl_say("\"%s\" is no operator's name: " OPERATOR_NAME_RULES, name);
            return CTL_USAGE;
        }
        if (name != NULL) {
            h.name = span_of(name);
        }
        return ctl_connect(c, NULL) == 0 ? actions[i].run(&h) : CTL_REFUSED;
    }
    ctl_say("\"operator %s\" is not known; known are: " ALLOWED, action);
    return CTL_USAGE;
}
