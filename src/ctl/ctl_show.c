#include <stdio.h>
#include <string.h>

#include "ctl/ctl_bypass.h"
#include "ctl/ctl_history.h"
#include "ctl/ctl_lease.h"
#include "ctl/ctl_narrower.h"
#include "ctl/ctl_passed.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"

/* All that is known of a subscriber. */
struct picture {
    struct ctl_subject who;
    struct ctl_standing own, holds, passed; /* passed over: its class is unknown */
    json_t *narrower, *leases, *history;
};

static json_t *standing_json(const struct ctl *c, const struct ctl_standing *s)
{
    if (!s->found) {
        return json_null();
    }
    return json_pack(
        "{s:s, s:o, s:b, s:o, s:o, s:b, s:o, s:o, s:o}", "id", s->id, "class",
        ctl_text_json(span_of(s->class)), "class_known", ctl_class_known(c, s->class), "since",
        ctl_time_json(s->since_s), "until", ctl_time_json(s->until_s), "ended",
        ctl_standing_ended(c, s), "by", ctl_text_json_or_null(span_of(s->by)), "reason",
        ctl_text_json_or_null(span_of(s->reason)), "note", ctl_text_json_or_null(span_of(s->note)));
}

static void print_time(const char *name, int64_t unix_s, const char *remark)
{
    char text[CTL_TIME_TEXT];

    if (unix_s != 0) {
        ctl_time_format(unix_s, text);
        ctl_print_rowf(name, "%s%s", text, remark);
    }
}

static void print_standing(const struct ctl *c, const struct ctl_standing *s)
{
    char class[CONF_NAME + sizeof(CTL_CLASS_UNKNOWN) + 4];

    snprintf(
        class, sizeof(class), "%s%s", s->class,
        ctl_class_known(c, s->class) ? "" : " (" CTL_CLASS_UNKNOWN ")");
    ctl_print_row("class", span_of(class));
    print_time("since", s->since_s, "");
    print_time("until", s->until_s, ctl_standing_ended(c, s) ? " (ended)" : "");
    ctl_print_row("by", span_of(s->by));
    ctl_print_row("reason", span_of(s->reason));
    ctl_print_row("note", span_of(s->note));
}

/* What holds instead, where the subscriber's own standing is missing or does not count. */
static void print_instead(const struct ctl *c, const struct ctl_standing *holds)
{
    char name[CTL_ID];

    if (holds->found) {
        ctl_print_rowf("in force", "the standing of %s:", ctl_name(holds->id, name));
        print_standing(c, holds);
    } else {
        ctl_print_rowf(
            "in force", "class %s, as for everybody",
            c->conf->classes[c->conf->default_class].name);
    }
}

static void print_all(const struct ctl *c, const struct picture *p)
{
    const struct ctl_standing *own = &p->own;
    bool hidden = ctl_lease_hides(c, &p->who);
    char name[CTL_ID];

    printf("%s\n", ctl_name(p->who.id, name));
    ctl_leases_print(p->leases);
    if (own->found && hidden) {
        ctl_print_rowf("passed over", "its own standing: it is handed out by lease");
    }
    if (own->found) {
        print_standing(c, own);
    }
    if (!own->found || ctl_standing_ended(c, own) || !ctl_class_known(c, own->class) || hidden) {
        print_instead(c, &p->holds);
    }
    if (!own->found || strcmp(own->id, p->passed.id) != 0) {
        ctl_passed_print(&p->passed);
    }
    ctl_narrower_print(c, p->narrower);
    json_t *bypass = ctl_bypass_show(c, &p->who.named);
    ctl_bypass_print(bypass);
    json_decref(bypass);
    if (json_array_size(p->history) > 0) {
        printf("changes\n");
        ctl_history_print(p->history);
    }
}

static json_t *picture_json(const struct ctl *c, const struct picture *p)
{
    const char *ordinary = c->conf->classes[c->conf->default_class].name;

    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:O, s:O, s:o*, s:O}", "id", p->who.id, "class",
        p->holds.found ? p->holds.class : ordinary, "standing", standing_json(c, &p->own),
        "in_force", standing_json(c, &p->holds), "passed_over", ctl_passed_json(&p->passed),
        "narrower", p->narrower, "leases", p->leases, "bypass", ctl_bypass_show(c, &p->who.named),
        "changes", p->history);
}

static enum ctl_exit answer(const struct ctl *c, const struct picture *p)
{
    bool any = p->own.found || p->holds.found || json_array_size(p->leases) > 0 ||
               json_array_size(p->narrower) > 0;
    char name[CTL_ID];

    if (c->options->json) {
        return ctl_json_print(picture_json(c, p)) == 0 && any ? CTL_DONE : CTL_REFUSED;
    }
    print_all(c, p);
    if (!any) {
        ctl_say("%s has no standing", ctl_name(p->who.id, name));
    }
    return any ? CTL_DONE : CTL_REFUSED;
}

static int look(struct ctl *c, struct picture *p)
{
    if (ctl_connect(c, NULL) != 0 || ctl_lease_resolve(c, &p->who) != 0 ||
        ctl_standing_read(c, p->who.id, &p->own) != 0 ||
        ctl_standing_over(c, &p->who, &p->holds, &p->passed) != 0) {
        return -1;
    }
    p->narrower = ctl_narrower_read(c, &p->who);
    p->leases = p->narrower == NULL ? NULL : ctl_leases_read(c, &p->who);
    p->history = p->leases == NULL ? NULL : ctl_history_read(c, p->who.id);
    return p->history == NULL ? -1 : 0;
}

enum ctl_exit ctl_show(struct ctl *c)
{
    struct picture p = {0};
    char why[1024];
    struct text error;
    enum ctl_exit result;

    text_init(&error, why, sizeof(why));
    if (!ctl_subject_parse(c->conf, span_of(c->options->argument), &p.who, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    result = look(c, &p) == 0 ? answer(c, &p) : CTL_REFUSED;
    json_decref(p.narrower);
    json_decref(p.leases);
    json_decref(p.history);
    return result;
}
