#include <stdio.h>
#include <string.h>

#include "core/verdict.h"
#include "ctl/ctl_lease.h"
#include "ctl/ctl_narrower.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"
#include "ctl/ctl_who.h"

#define REGISTERED  "registered"
#define QUARANTINED "quarantined"
#define REASON_TOLD 200 /* bytes; a longer one may be cut in the reply */

/* What one of the four verbs is about to do, and on whom. */
struct change {
    struct ctl *ctl;
    struct ctl_subject subject;
    struct ctl_standing before;
    struct standing write;
    char by[CTL_WHO], name[CTL_ID];
};

/* Also one of a class that the configuration no longer has counts by its name. */
static bool is_quarantine(const struct ctl *c, const struct ctl_standing *s)
{
    const struct conf_class *class = conf_class_named(c->conf, span_of(s->class));

    return s->found && (strcmp(s->class, QUARANTINED) == 0 ||
                        (class != NULL && class->action == ACTION_REFUSE));
}

static struct span span_or_none(const char *text)
{
    return text == NULL ? (struct span){"", 0} : span_of(text);
}

/* Reads what the command line says and what Redis knows. */
static enum ctl_exit begin(struct change *h, struct ctl *c)
{
    const struct ctl_options *o = c->options;
    char why[1024];
    struct text error;

    text_init(&error, why, sizeof(why));
    if (!ctl_subject_parse(c->conf, span_of(o->argument), &h->subject, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    if (o->until != NULL &&
        !ctl_until_parse(span_of(o->until), c->now_s, &h->write.until_s, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    ctl_who(h->by);
    h->ctl = c;
    h->write.since_s = c->now_s;
    h->write.by = o->by == NULL ? span_of(h->by) : span_of(o->by);
    h->write.reason = span_or_none(o->reason);
    h->write.note = span_or_none(o->note);
    h->write.verb = span_of(o->verb->name);
    if (ctl_connect(c, NULL) != 0 || ctl_lease_resolve(c, &h->subject) != 0 ||
        ctl_standing_read(c, h->subject.id, &h->before) != 0) {
        return CTL_REFUSED;
    }
    h->write.id = span_of(h->subject.id);
    ctl_name(h->subject.id, h->name);
    return CTL_DONE;
}

/* What was said of an address would hold for whoever gets it next. */
static bool may_be_set(const struct change *h)
{
    if (!ctl_lease_hides(h->ctl, &h->subject)) {
        return true;
    }
    ctl_say(
        "%s is handed out by lease (leases.prefixes): %s; a standing there hangs on the account, "
        "so "
        "name that",
        h->name,
        h->subject.address ? "nobody is known to hold it now"
                           : "as a prefix it may be anybody's tomorrow");
    return false;
}

static const struct conf_class *find_class(const struct ctl *c, const char *name)
{
    const struct conf_class *class = conf_class_named(c->conf, span_of(name));
    char known[1024];
    struct text t;

    if (class != NULL) {
        return class;
    }
    text_init(&t, known, sizeof(known));
    ctl_class_list(c, &t);
    ctl_say("the configuration has no class \"%s\"; it has: %s", name, known);
    return NULL;
}

static enum ctl_exit report(const struct change *h, const char *sentence)
{
    const struct ctl_standing *before = &h->before;
    const struct standing *s = &h->write;
    char until[CTL_TIME_TEXT] = "";

    if (h->ctl->options->json) {
        json_t *line = json_pack(
            "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verb", h->ctl->options->verb->name,
            "id", ctl_text_json(s->id), "class", ctl_text_json_or_null(s->class), "was",
            ctl_text_json_or_null(span_of(before->class)), "since", ctl_time_json(s->since_s),
            "until", ctl_time_json(s->until_s), "by", ctl_text_json_or_null(s->by), "reason",
            ctl_text_json_or_null(s->reason), "note", ctl_text_json_or_null(s->note));

        return ctl_json_print(line) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    if (s->until_s != 0) {
        ctl_time_format(s->until_s, until);
    }
    printf("%s %s", h->name, sentence);
    if (h->subject.account && h->subject.address) {
        printf(", which holds %s now", h->ctl->options->argument);
    }
    if (h->ctl->options->class != NULL) {
        printf(", class %.*s", (int)s->class.len, s->class.at);
    }
    printf("%s%s", until[0] == '\0' ? "" : ", until ", until);
    if (before->found && s->class.len > 0 && !span_equal(span_of(before->class), s->class)) {
        char was[CONF_NAME * 4];
        struct text t;

        text_init(&t, was, sizeof(was));
        ctl_text_escape(span_of(before->class), &t);
        printf(" (was %s)", was);
    }
    putchar('\n');
    return CTL_DONE;
}

/* Who names an address means that address, and what is narrower than its unit goes before. */
static void warn_of_narrower(const struct change *h)
{
    json_t *narrower = ctl_narrower_read(h->ctl, &h->subject);

    for (size_t i = 0; i < json_array_size(narrower); i++) {
        const json_t *one = json_array_get(narrower, i);
        char name[CTL_ID];

        if (json_is_true(json_object_get(one, "in_force"))) {
            ctl_say(
                "warning: for %s the narrower standing of %s (class %s) stays in force",
                h->ctl->options->argument,
                ctl_name(json_string_value(json_object_get(one, "id")), name),
                json_string_value(json_object_get(one, "class")));
        }
    }
    json_decref(narrower);
}

static enum ctl_exit set(struct change *h, const struct conf_class *class, const char *sentence)
{
    if (!may_be_set(h)) {
        return CTL_REFUSED;
    }
    h->write.class = span_of(class->name);
    if (ctl_standing_set(h->ctl, &h->write) != 0) {
        return CTL_REFUSED;
    }
    warn_of_narrower(h);
    return report(h, sentence);
}

static enum ctl_exit remove_standing(struct change *h, const char *sentence)
{
    if (ctl_standing_remove(h->ctl, &h->write) != 0) {
        return CTL_REFUSED;
    }
    return report(h, sentence);
}

enum ctl_exit ctl_register(struct ctl *c)
{
    const char *name = c->options->class == NULL ? REGISTERED : c->options->class;
    const struct conf_class *class = find_class(c, name);
    struct change h = {0};

    if (class == NULL) {
        return CTL_REFUSED;
    }
    /* What refuses is a quarantine, which "release" alone ends. */
    if (class->action == ACTION_REFUSE || strcmp(name, QUARANTINED) == 0) {
        ctl_say(
            "the class \"%s\" is a quarantine: use \"quarantine%s%s\"", name,
            strcmp(name, QUARANTINED) == 0 ? "" : " --class ",
            strcmp(name, QUARANTINED) == 0 ? "" : name);
        return CTL_REFUSED;
    }
    if (begin(&h, c) != CTL_DONE) {
        return CTL_REFUSED;
    }
    if (is_quarantine(c, &h.before) && !ctl_standing_ended(c, &h.before)) {
        ctl_say("%s is in quarantine: release it first", h.name);
        return CTL_REFUSED;
    }
    return set(&h, class, "is registered");
}

static bool is_told_as_it_is(struct span reason)
{
    for (size_t i = 0; i < reason.len; i++) {
        if (reason.at[i] < ' ' || reason.at[i] > '~') {
            return false;
        }
    }
    return reason.len <= REASON_TOLD;
}

/* A reply is one line of printable ASCII and not long: says what becomes of the reason in it. */
static void warn_of_reason(const struct change *h, const struct conf_class *class)
{
    const struct verdict refusal = {.action = VERDICT_REFUSE, .rule = RULE_CLASS};
    const struct verdict_context context = {
        .class = class,
        .subscriber = h->subject.id,
        .help_url = h->ctl->conf->help_url,
        .case_id = "..........",
        .detail = h->ctl->options->reason};
    char reply[VERDICT_REPLY];
    struct text t;

    if (class->action != ACTION_REFUSE || is_told_as_it_is(h->write.reason)) {
        return;
    }
    text_init(&t, reply, sizeof(reply));
    verdict_reply(&refusal, PLACE_GREETING, &context, &t);
    ctl_say(
        "warning: the reason is long or not all printable ASCII; the subscriber will be told: %.*s",
        (int)strcspn(reply, "\r"), reply);
}

enum ctl_exit ctl_quarantine(struct ctl *c)
{
    const char *name = c->options->class == NULL ? QUARANTINED : c->options->class;
    const struct conf_class *class = find_class(c, name);
    struct change h = {0};

    if (class == NULL) {
        return CTL_REFUSED;
    }
    if (class->action != ACTION_REFUSE && strcmp(name, QUARANTINED) != 0) {
        ctl_say("the class \"%s\" does not refuse: it is no quarantine", name);
        return CTL_REFUSED;
    }
    if (begin(&h, c) != CTL_DONE) {
        return CTL_REFUSED;
    }
    warn_of_reason(&h, class);
    return set(&h, class, "is in quarantine");
}

/* A mere address stands for its unit: perhaps a part of that was meant, which is named by its
 * length. 1: said so; 0: there is none; -1: said why nobody knows. */
static int name_narrower(const struct change *h)
{
    json_t *narrower = ctl_narrower_read(h->ctl, &h->subject);
    const char *id = json_string_value(json_object_get(json_array_get(narrower, 0), "id"));
    int result = narrower == NULL ? -1 : id != NULL;
    char name[CTL_ID];

    if (id != NULL) {
        ctl_say(
            "%s has no standing; %s has one: name it with its length", h->name, ctl_name(id, name));
    }
    json_decref(narrower);
    return result;
}

/* 0, or -1 with the reason said. `again` is the verb that sets what this one ends: a gate keeps
 * what Redis lost (svc/registry.h), and hears of its end only as a change. */
static int want_standing(const struct change *h, const char *again)
{
    const char *verb = h->ctl->options->verb->name;
    struct ctl_standing wider;
    char name[CTL_ID];

    if (h->before.found) {
        return 0;
    }
    if (name_narrower(h) != 0 || ctl_standing_over(h->ctl, &h->subject, &wider, NULL) != 0) {
        return -1;
    }
    if (wider.found) {
        ctl_say(
            "%s has no standing of its own; that of %s (class %s) covers it", h->name,
            ctl_name(wider.id, name), wider.class);
    } else {
        ctl_say("%s has no standing", h->name);
    }
    ctl_say(
        "if gates keep one that Redis has lost (their log tells of that), end it so: first \"%s "
        "%s\", "
        "then \"%s %s\"",
        again, h->name, verb, h->name);
    return -1;
}

enum ctl_exit ctl_unregister(struct ctl *c)
{
    struct change h = {0};

    if (begin(&h, c) != CTL_DONE || want_standing(&h, "register") != 0) {
        return CTL_REFUSED;
    }
    if (is_quarantine(c, &h.before)) {
        ctl_say("%s is in quarantine: use \"release\"", h.name);
        return CTL_REFUSED;
    }
    return remove_standing(&h, "is no longer registered");
}

enum ctl_exit ctl_release(struct ctl *c)
{
    struct change h = {0};

    if (begin(&h, c) != CTL_DONE || want_standing(&h, "quarantine") != 0) {
        return CTL_REFUSED;
    }
    if (!is_quarantine(c, &h.before)) {
        ctl_say(
            "%s is not in quarantine but of class %s: use \"unregister\" to end that", h.name,
            h.before.class);
        return CTL_REFUSED;
    }
    return remove_standing(&h, "is released");
}
