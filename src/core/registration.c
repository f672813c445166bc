#include "core/registration.h"

#include <string.h>

static void copy(char *out, size_t cap, const char *from)
{
    struct text t;

    text_init(&t, out, cap);
    text_add(&t, span_of(from));
}

bool registration_is_active(enum registration_state s)
{
    return s == REGISTRATION_PROBATION || s == REGISTRATION_REGISTERED;
}

enum registration_state registration_now(
    const struct registration *r, const struct registration_line *line, int64_t now_s)
{
    if (!registration_is_active(r->state)) {
        return r->state;
    }
    if (r->until_s <= now_s) {
        return REGISTRATION_EXPIRED;
    }
    /* The standing was changed by gate25ctl or at the desk: theirs holds. */
    return strcmp(line->class, r->class) == 0 ? r->state : REGISTRATION_ENDED;
}

bool registration_renewable(
    const struct registration *r, const struct registration_rules *rules, int64_t now_s)
{
    return registration_is_active(r->state) && r->until_s > now_s &&
           r->until_s - now_s <= (int64_t)rules->reminder_s;
}

static void give(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    bool probation = rules->probation_s > 0;

    r->state = probation ? REGISTRATION_PROBATION : REGISTRATION_REGISTERED;
    copy(r->class, sizeof(r->class), probation ? rules->probation_class : REGISTRATION_CLASS);
    r->decided_s = in->now_s;
    r->probation_until_s = probation ? in->now_s + (int64_t)rules->probation_s : 0;
    r->until_s = in->now_s + (int64_t)rules->term_s;
    r->reminded_s = 0;
    copy(r->by, sizeof(r->by), in->by);
    copy(r->why, sizeof(r->why), in->why);
    *effects =
        (struct registration_effects){STANDING_GIVEN, REGISTRATION_MAIL_APPROVED, "register"};
}

static enum registration_answer confirm(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    enum registration_state now = registration_now(r, &in->line, in->now_s);
    /* Whom the desk has refused, or has given a class of its own, the desk alone lets in. */
    bool desk = rules->desk_only || now == REGISTRATION_REFUSED || in->line.class[0] != '\0' ||
                !signup_checks_hold(&in->fresh->checks, rules->required);

    if (in->line.refused) {
        return REGISTRATION_QUARANTINED;
    }
    if (registration_is_active(now) || strcmp(in->line.class, REGISTRATION_CLASS) == 0) {
        return REGISTRATION_ALREADY;
    }
    r->request = in->fresh->request;
    r->checks = in->fresh->checks;
    memcpy(r->language, in->fresh->language, sizeof(r->language));
    r->confirmed_s = in->now_s;
    if (!desk) {
        give(r, rules, in, effects);
        return REGISTRATION_DONE;
    }
    r->state = REGISTRATION_PENDING;
    r->decided_s = r->probation_until_s = r->until_s = r->reminded_s = 0;
    r->class[0] = r->by[0] = r->why[0] = '\0';
    return REGISTRATION_DONE;
}

static enum registration_answer approve(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    if (r->state != REGISTRATION_PENDING) {
        return REGISTRATION_NOT_PENDING;
    }
    if (in->line.refused) {
        return REGISTRATION_QUARANTINED;
    }
    give(r, rules, in, effects);
    return REGISTRATION_DONE;
}

static enum registration_answer refuse(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    (void)rules;
    if (r->state != REGISTRATION_PENDING) {
        return REGISTRATION_NOT_PENDING;
    }
    r->state = REGISTRATION_REFUSED;
    r->decided_s = in->now_s;
    copy(r->by, sizeof(r->by), in->by);
    copy(r->why, sizeof(r->why), in->why);
    effects->mail = REGISTRATION_MAIL_REFUSED;
    return REGISTRATION_DONE;
}

static enum registration_answer renew(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    enum registration_state now = registration_now(r, &in->line, in->now_s);

    if (in->line.refused) {
        return REGISTRATION_QUARANTINED;
    }
    if (!registration_is_active(now)) {
        return REGISTRATION_NOT_THERE;
    }
    if (!registration_renewable(r, rules, in->now_s)) {
        return REGISTRATION_TOO_EARLY;
    }
    r->until_s = in->now_s + (int64_t)rules->term_s;
    r->reminded_s = 0;
    *effects = (struct registration_effects){STANDING_GIVEN, REGISTRATION_MAIL_RENEWED, "renew"};
    return REGISTRATION_DONE;
}

static void end(struct registration *r, enum registration_state state, const char *by)
{
    r->state = state;
    copy(r->by, sizeof(r->by), by);
    r->why[0] = '\0';
}

static enum registration_answer withdraw(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    enum registration_state now = registration_now(r, &in->line, in->now_s);

    (void)rules;
    if (now != REGISTRATION_PENDING && !registration_is_active(now)) {
        return REGISTRATION_NOT_THERE;
    }
    effects->standing = now == REGISTRATION_PENDING ? STANDING_STAYS : STANDING_TAKEN;
    effects->mail = REGISTRATION_MAIL_WITHDRAWN;
    effects->verb = "withdraw";
    end(r, REGISTRATION_WITHDRAWN, in->by);
    return REGISTRATION_DONE;
}

static enum registration_answer tick(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *in, struct registration_effects *effects)
{
    bool ours = strcmp(in->line.class, r->class) == 0;

    if (!registration_is_active(r->state)) {
        return REGISTRATION_NOTHING;
    }
    /* A standing that has ended is not in force, so that an expired one never is `ours`; what
     * somebody has put in its place stays. */
    if (r->until_s <= in->now_s) {
        bool other = in->line.class[0] != '\0' && !ours;
        *effects = (struct registration_effects){
            other ? STANDING_STAYS : STANDING_TAKEN, REGISTRATION_MAIL_EXPIRED, "expire"};
        end(r, REGISTRATION_EXPIRED, in->by);
        return REGISTRATION_DONE;
    }
    if (!ours) {
        /* By somebody who has told whom he wanted to. */
        end(r, REGISTRATION_ENDED, in->by);
        return REGISTRATION_DONE;
    }
    if (r->state == REGISTRATION_PROBATION && r->probation_until_s <= in->now_s) {
        r->state = REGISTRATION_REGISTERED;
        copy(r->class, sizeof(r->class), REGISTRATION_CLASS);
        r->probation_until_s = 0;
        effects->standing = STANDING_GIVEN;
        effects->verb = "register";
        return REGISTRATION_DONE;
    }
    if (r->reminded_s == 0 && registration_renewable(r, rules, in->now_s)) {
        r->reminded_s = in->now_s;
        effects->mail = REGISTRATION_MAIL_REMINDER;
        return REGISTRATION_DONE;
    }
    return REGISTRATION_NOTHING;
}

enum registration_answer registration_step(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *input, struct registration_effects *effects)
{
    static enum registration_answer (*const steps[])(
        struct registration *, const struct registration_rules *, const struct registration_input *,
        struct registration_effects *) = {
        [REGISTRATION_CONFIRM] = confirm,   [REGISTRATION_APPROVE] = approve,
        [REGISTRATION_REFUSE] = refuse,     [REGISTRATION_RENEW] = renew,
        [REGISTRATION_WITHDRAW] = withdraw, [REGISTRATION_TICK] = tick,
    };

    *effects = (struct registration_effects){.standing = STANDING_STAYS, .verb = ""};
    return steps[input->event](r, rules, input, effects);
}

int64_t registration_due(const struct registration *r, const struct registration_rules *rules)
{
    int64_t due = r->until_s;

    if (!registration_is_active(r->state)) {
        return 0;
    }
    if (r->state == REGISTRATION_PROBATION && r->probation_until_s < due) {
        due = r->probation_until_s;
    }
    if (r->reminded_s == 0 && r->until_s - (int64_t)rules->reminder_s < due) {
        due = r->until_s - (int64_t)rules->reminder_s;
    }
    return due;
}

static const char *const state_names[] = {
    [REGISTRATION_NONE] = "none",           [REGISTRATION_PENDING] = "pending",
    [REGISTRATION_PROBATION] = "probation", [REGISTRATION_REGISTERED] = "registered",
    [REGISTRATION_REFUSED] = "refused",     [REGISTRATION_WITHDRAWN] = "withdrawn",
    [REGISTRATION_EXPIRED] = "expired",     [REGISTRATION_ENDED] = "ended",
};

const char *registration_state_name(enum registration_state s)
{
    return state_names[s];
}

bool registration_state_named(struct span name, enum registration_state *out)
{
    for (unsigned i = 0; i < REGISTRATION_STATES; i++) {
        if (span_equal(name, span_of(state_names[i]))) {
            *out = i;
            return true;
        }
    }
    return false;
}

const char *registration_mail_name(enum registration_mail m)
{
    static const char *const names[] = {
        [REGISTRATION_MAIL_NONE] = "none",           [REGISTRATION_MAIL_CONFIRM] = "confirm",
        [REGISTRATION_MAIL_APPROVED] = "approved",   [REGISTRATION_MAIL_REFUSED] = "refused",
        [REGISTRATION_MAIL_REMINDER] = "reminder",   [REGISTRATION_MAIL_RENEWED] = "renewed",
        [REGISTRATION_MAIL_WITHDRAWN] = "withdrawn", [REGISTRATION_MAIL_EXPIRED] = "expired",
    };
    return names[m];
}
