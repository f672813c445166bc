#include <stdio.h>
#include <string.h>

#include "ctl/ctl_bypass.h"
#include "ctl/ctl_history.h"
#include "ctl/ctl_lease.h"
#include "ctl/ctl_passed.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"

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

static void print_all(
    const struct ctl *c, const struct ctl_subject *who, const struct ctl_standing *own,
    const struct ctl_standing *holds, const struct ctl_standing *passed, const json_t *leases,
    const json_t *history)
{
    char name[CTL_ID];

    printf("%s\n", ctl_name(who->id, name));
    ctl_leases_print(leases);
    if (own->found && ctl_lease_hides(c, who)) {
        ctl_print_rowf("passed over", "its own standing: it is handed out by lease");
    }
    if (own->found) {
        print_standing(c, own);
    }
    if (!own->found || ctl_standing_ended(c, own) || !ctl_class_known(c, own->class) ||
        ctl_lease_hides(c, who)) {
        print_instead(c, holds);
    }
    if (!own->found || strcmp(own->id, passed->id) != 0) {
        ctl_passed_print(passed);
    }
    json_t *bypass = ctl_bypass_show(c, &who->prefix);
    ctl_bypass_print(bypass);
    json_decref(bypass);
    if (json_array_size(history) > 0) {
        printf("changes\n");
        ctl_history_print(history);
    }
}

static enum ctl_exit answer(
    struct ctl *c, const struct ctl_subject *who, const struct ctl_standing *own,
    const struct ctl_standing *holds, const struct ctl_standing *passed, json_t *leases,
    json_t *history)
{
    enum ctl_exit result =
        own->found || holds->found || json_array_size(leases) > 0 ? CTL_DONE : CTL_REFUSED;

    if (c->options->json) {
        json_t *all = json_pack(
            "{s:s, s:s, s:o, s:o, s:o, s:o, s:o*, s:o}", "id", who->id, "class",
            holds->found ? holds->class : c->conf->classes[c->conf->default_class].name, "standing",
            standing_json(c, own), "in_force", standing_json(c, holds), "passed_over",
            ctl_passed_json(passed), "leases", leases, "bypass", ctl_bypass_show(c, &who->prefix),
            "changes", history);

        return ctl_json_print(all) == 0 ? result : CTL_REFUSED;
    }
    print_all(c, who, own, holds, passed, leases, history);
    json_decref(leases);
    json_decref(history);
    if (result != CTL_DONE) {
        char name[CTL_ID];

        ctl_say("%s has no standing", ctl_name(who->id, name));
    }
    return result;
}

enum ctl_exit ctl_show(struct ctl *c)
{
    struct ctl_subject who;
    struct ctl_standing own, holds, passed;
    char why[1024];
    struct text error;
    json_t *history, *leases;

    text_init(&error, why, sizeof(why));
    if (!ctl_subject_parse(c->conf, span_of(c->options->argument), &who, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    if (ctl_connect(c, NULL) != 0 || ctl_lease_resolve(c, &who) != 0 ||
        ctl_standing_read(c, who.id, &own) != 0 ||
        ctl_standing_over(c, &who, &holds, &passed) != 0) {
        return CTL_REFUSED;
    }
    leases = ctl_leases_read(c, &who);
    history = leases == NULL ? NULL : ctl_history_read(c, who.id);
    if (history == NULL) {
        json_decref(leases);
        return CTL_REFUSED;
    }
    return answer(c, &who, &own, &holds, &passed, leases, history);
}
