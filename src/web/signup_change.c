/* Every change of a registration: read, decide (core/registration.h), write. Where another site, or
 * another click, has written meanwhile, once more. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/clock.h"
#include "signup_internal.h"

#define TRIES 5

struct operation {
    struct signup *signup;
    char id[SIGNUP_ID], by[REGISTRATION_WHO], why[REGISTRATION_WHY];
    struct registration fresh, now;
    struct registration_seen seen;
    struct registration_input input;
    struct registration_effects effects;
    int64_t due_s;
    unsigned tries;
    signup_changed_cb changed;
    void *context;
};

static void read_again(struct operation *o);

static void end(struct operation *o, bool ok, enum registration_answer answer)
{
    if (!ok) {
        log_warning("the registration of %s could not be changed", o->id);
    }
    o->changed(o->context, ok, answer, &o->now);
    signup_release(o->signup);
    free(o);
}

struct registration_rules signup_rules(const struct conf *conf)
{
    const struct conf_registration *g = &conf->registration;

    return (struct registration_rules){
        .desk_only = g->approve == APPROVE_DESK,
        .required = g->approve == APPROVE_ALWAYS ? 0 : g->required,
        .term_s = g->term_s,
        .reminder_s = g->reminder_s,
        .probation_s = g->probation_s,
        .probation_class = g->probation_class,
    };
}

struct registration_line signup_line(const struct site *site, struct span id, const char *class)
{
    const struct conf *conf = site_conf(site);
    const struct conf_class *own = conf_class_named(conf, span_of(class));
    struct registration_line line = {.class = class};
    struct registry_entry over;
    struct prefix unit;

    if (own) {
        line.refused = own->action == ACTION_REFUSE;
    } else if (prefix_parse(id, &unit) == PREFIX_OK) {
        registry_find(site_registry(site), conf, &unit.addr, clock_unix_ms() / 1000, &over);
        line.refused = over.class->action == ACTION_REFUSE;
    }
    return line;
}

static void on_written(void *context, enum registrations_written result)
{
    struct operation *o = context;

    bool stopped = o->signup->stopped;

    if (!stopped && result == REGISTRATIONS_CHANGED && o->tries < TRIES) {
        read_again(o);
    } else if (stopped || result != REGISTRATIONS_WRITTEN) {
        end(o, false, REGISTRATION_NOTHING);
    } else {
        if (o->effects.mail == REGISTRATION_MAIL_REMINDER) {
            signup_mail_reminder(o->signup, &o->now, span_of(o->id));
        } else if (o->effects.mail != REGISTRATION_MAIL_NONE) {
            (void)signup_mail(o->signup, o->effects.mail, &o->now, span_of(o->id), NULL);
        }
        end(o, true, REGISTRATION_DONE);
    }
}

static void on_seen(void *context, const struct registration_seen *seen)
{
    struct operation *o = context;
    struct site *site = o->signup->site;

    if (!seen || o->signup->stopped) {
        end(o, false, REGISTRATION_NOTHING);
        return;
    }
    struct registration_rules rules = signup_rules(site_conf(site));
    struct redis *redis = site_redis(site);
    o->seen = *seen;
    o->now = seen->registration;
    o->input.now_s = clock_unix_ms() / 1000;
    o->input.line = signup_line(site, span_of(o->id), o->seen.class);
    enum registration_answer answer = registration_step(&o->now, &rules, &o->input, &o->effects);
    o->due_s = registration_due(&o->now, &rules);
    if (answer == REGISTRATION_DONE) {
        struct registration_change change = {span_of(o->id), &o->seen, &o->now,
                                             &o->effects,    o->due_s, o->input.now_s};
        registrations_write(redis, &change, on_written, o);
        return;
    }
    if (answer == REGISTRATION_NOTHING) {
        /* It was due and nothing is to be done: a site was stopped in the middle of it. */
        registrations_repair(redis, span_of(o->id), &o->seen, o->due_s, o->input.now_s);
    }
    end(o, true, answer);
}

static void read_again(struct operation *o)
{
    o->tries++;
    registrations_read(site_redis(o->signup->site), span_of(o->id), on_seen, o);
}

static void copy(char *out, size_t cap, struct span from)
{
    struct text t;

    text_init(&t, out, cap);
    text_add(&t, from);
}

void signup_change(
    struct signup *s, const struct signup_event *event, signup_changed_cb changed, void *context)
{
    static const struct registration none;
    struct operation *o = calloc(1, sizeof(*o));

    if (!o) {
        changed(context, false, REGISTRATION_NOTHING, &none);
        return;
    }
    o->signup = signup_hold(s);
    o->changed = changed;
    o->context = context;
    copy(o->id, sizeof(o->id), event->id);
    copy(o->by, sizeof(o->by), event->by);
    copy(o->why, sizeof(o->why), event->why);
    o->fresh = event->fresh ? *event->fresh : none;
    o->input = (struct registration_input){
        .event = event->event, .fresh = &o->fresh, .by = o->by, .why = o->why};
    read_again(o);
}

void signup_decide(
    struct site *site, struct span id, enum registration_event event, struct span by,
    struct span why, signup_changed_cb changed, void *context)
{
    const struct signup_event decision = {.id = id, .event = event, .by = by, .why = why};

    signup_change(signup_of(site), &decision, changed, context);
}
