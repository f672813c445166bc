#include <stdio.h>
#include <string.h>

#include "ctl/ctl_lease.h"
#include "ctl/ctl_passed.h"
#include "ctl/ctl_subject.h"
#include "ctl/ctl_text.h"
#include "ctl/ctl_time.h"
#include "ctl/ctl_verbs.h"
#include "svc/meter.h"
#include "svc/meter_codec.h"

#define LINE 256

/* All that is known of an address. */
struct finding {
    struct addr address;
    struct ctl_subject unit;
    char account[CTL_ID];                 /* of the lease; empty: none */
    struct ctl_standing standing, passed; /* passed over: its class is unknown */
    const char *id;                       /* whose meters count */
    const struct conf_class *class;
    struct meter_windows windows;
    struct meter_level levels[METER_WINDOWS];
    bool level_known[METER_WINDOWS];
};

static void use_levels(void *context, const struct redis_reply *reply)
{
    struct finding *f = context;

    for (size_t i = 0; i < f->windows.count; i++) {
        f->level_known[i] = meter_level_decode(reply, i, &f->levels[i]);
    }
}

static int read_levels(struct ctl *c, struct finding *f)
{
    /* Of what is bridged nothing is metered but that it is open. */
    static const unsigned kinds[] = {
        [ACTION_METER] = METER_ALL_KINDS,
        [ACTION_SUBMIT] = METER_KIND(LIMIT_CONCURRENT),
        [ACTION_PASS] = 0,
        [ACTION_REFUSE] = 0,
    };
    struct meter_words words;

    meter_windows_of(f->class, kinds[f->class->action], &f->windows);
    if (f->windows.count == 0) {
        return 0;
    }
    meter_words_peek(&words, f->id, &f->windows);
    return ctl_call(c, words.at, words.count, CTL_ANSWER_MS, use_levels, f);
}

/* As the gate finds it, svc/registry.h. */
static int find(struct ctl *c, struct finding *f)
{
    struct ctl_subject who = f->unit;

    if (ctl_lease_resolve(c, &who) != 0) {
        return -1;
    }
    if (who.account) {
        snprintf(f->account, sizeof(f->account), "%s", who.id);
    } else {
        who.prefix = who.named;
    }
    if (ctl_standing_over(c, &who, &f->standing, &f->passed) != 0) {
        return -1;
    }
    if (f->standing.found) {
        f->id = f->standing.id;
        f->class = conf_class_named(c->conf, span_of(f->standing.class));
    } else {
        f->id = f->unit.id;
        f->class = &c->conf->classes[c->conf->default_class];
    }
    if (f->account[0] != '\0') {
        f->id = f->account;
    }
    return read_levels(c, f);
}

/* --- for people --- */

static void add_words(struct text *t, uint64_t us)
{
    /* To the second, upwards: nobody waits for less. */
    conf_duration_words((us + 999999) / 1000000 * 1000000, t);
}

static void print_limit(const struct meter_window *w, const struct meter_level *level)
{
    char array[LINE];
    struct text t;

    text_init(&t, array, sizeof(array));
    limit_amount_words(w->kind, w->rate.count, &t);
    if (w->kind != LIMIT_CONCURRENT) {
        text_addf(&t, " in ");
        conf_duration_words(w->rate.period_us, &t);
    }
    printf("  %-11s %-22s", limit_kind_name(w->kind), array);
    text_init(&t, array, sizeof(array));
    if (level == NULL) {
        text_addf(&t, "not known");
    } else {
        limit_amount_words(w->kind, level->amount, &t);
        text_addf(&t, " %s", limit_kind_counts_up(w->kind) ? "used" : "left");
        if (level->full_us > 0) {
            text_addf(&t, ", %s in ", limit_kind_counts_up(w->kind) ? "none" : "full");
            add_words(&t, level->full_us);
        }
    }
    puts(array);
}

static void print_action(const struct conf_class *class)
{
    static const char *const over[] = {
        [OVER_DEFER] = "deferred",
        [OVER_REFUSE] = "refused",
        [OVER_SUBMIT] = "bridged to submission"};
    static const char *const meaning[] = {
        [ACTION_PASS] = "relayed untouched",
        [ACTION_METER] = "relayed within limits, over them ",
        [ACTION_REFUSE] = "answered with a refusal",
        [ACTION_SUBMIT] = "bridged to submission, port 587 of the same server"};

    ctl_print_rowf(
        "action", "%s: %s%s%s", class_action_name(class->action), meaning[class->action],
        class->action == ACTION_METER ? over[class->over] : "",
        class->enforce ? "" : " (not enforced: logged only)");
}

static void print_finding(const struct finding *f)
{
    char address[ADDR_TEXT], until[CTL_TIME_TEXT], name[CTL_ID];
    const struct ctl_standing *s = &f->standing;

    addr_format(&f->address, address);
    ctl_print_rowf("address", "%s", address);
    ctl_print_rowf("unit", "%s", f->unit.id);
    ctl_print_row("lease", span_of(f->account[0] == '\0' ? "none" : f->account));
    ctl_print_rowf("id", "%s", ctl_name(f->id, name));
    ctl_print_rowf("class", "%s", f->class->name);
    ctl_name(s->id, name);
    if (s->found && s->until_s != 0) {
        ctl_time_format(s->until_s, until);
        ctl_print_rowf("standing", "of %s, until %s", name, until);
    } else {
        ctl_print_rowf("standing", "%s%s", s->found ? "of " : "none", s->found ? name : "");
    }
    ctl_print_row("reason", span_of(s->reason));
    ctl_passed_print(&f->passed);
    print_action(f->class);
    if (f->windows.count > 0) {
        printf("limits\n");
    }
    for (size_t i = 0; i < f->windows.count; i++) {
        print_limit(&f->windows.at[i], f->level_known[i] ? &f->levels[i] : NULL);
    }
}

/* --- for programs --- */

static json_t *limit_json(const struct meter_window *w, const struct meter_level *level)
{
    json_t *limit = json_pack(
        "{s:s, s:I, s:f}", "limit", limit_kind_name(w->kind), "count", (json_int_t)w->rate.count,
        "period_s", (double)w->rate.period_us / 1e6);
    uint64_t other;

    if (w->kind == LIMIT_CONCURRENT) {
        json_object_set_new(limit, "period_s", json_null());
    }
    if (level == NULL) {
        return limit;
    }
    other = level->amount < w->rate.count ? w->rate.count - level->amount : 0;
    json_object_set_new(
        limit, "left",
        json_integer((json_int_t)(limit_kind_counts_up(w->kind) ? other : level->amount)));
    json_object_set_new(
        limit, "used",
        json_integer((json_int_t)(limit_kind_counts_up(w->kind) ? level->amount : other)));
    if (w->kind != LIMIT_CONCURRENT) {
        json_object_set_new(limit, "full_in_s", json_real((double)level->full_us / 1e6));
    }
    return limit;
}

static json_t *standing_json(const struct ctl_standing *s)
{
    if (!s->found) {
        return json_null();
    }
    return json_pack(
        "{s:s, s:o, s:o}", "id", s->id, "until", ctl_time_json(s->until_s), "reason",
        ctl_text_json_or_null(span_of(s->reason)));
}

static json_t *finding_json(const struct finding *f)
{
    char address[ADDR_TEXT];
    json_t *limits = json_array();

    addr_format(&f->address, address);
    for (size_t i = 0; i < f->windows.count; i++) {
        json_array_append_new(
            limits, limit_json(&f->windows.at[i], f->level_known[i] ? &f->levels[i] : NULL));
    }
    return json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:s, s:b, s:o, s:o, s:o}", "address", address, "unit",
        f->unit.id, "lease", ctl_text_json_or_null(span_of(f->account)), "id", f->id, "class",
        f->class->name, "action", class_action_name(f->class->action), "enforce", f->class->enforce,
        "standing", standing_json(&f->standing), "passed_over", ctl_passed_json(&f->passed),
        "limits", limits);
}

enum ctl_exit ctl_explain(struct ctl *c)
{
    struct finding f = {0};
    char why[1024];
    struct text error;

    text_init(&error, why, sizeof(why));
    if (!addr_parse(span_of(c->options->argument), &f.address)) {
        ctl_say("\"%s\" is no address (IPv4 or IPv6)", c->options->argument);
        return CTL_REFUSED;
    }
    if (!ctl_subject_parse(c->conf, span_of(c->options->argument), &f.unit, &error)) {
        ctl_say("%s", why);
        return CTL_REFUSED;
    }
    if (ctl_connect(c, meter_functions) != 0 || find(c, &f) != 0) {
        return CTL_REFUSED;
    }
    if (c->options->json) {
        return ctl_json_print(finding_json(&f)) == 0 ? CTL_DONE : CTL_REFUSED;
    }
    print_finding(&f);
    return CTL_DONE;
}
