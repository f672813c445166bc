/* The decision on a MAIL of a metered class: its limits, and what SPF says of its sender. */
#include "core/policy.h"
#include "core/smtp_path.h"
#include "dialog_internal.h"

static bool is_spf_in_use(const struct dialog *d)
{
    return d->setup->conf->spf.use != SPF_USE_OFF;
}

static void refuse(struct dialog *d, const struct verdict *v)
{
    d->decision = DECISION_REFUSED;
    d->verdict = *v;
    d->refused = 0;
}

/* The first recipient's token comes with the message's: to ask again at RCPT would cost a round
 * trip. A mail that SPF may yet refuse gets no more than that one. What it does not use, its
 * session's next mail does. */
static void ask(struct dialog_turn *t, uint32_t messages, uint32_t named)
{
    uint32_t held = t->d->granted, wanted = named > 0 ? named : 1;
    t->d->tentative = named == 0;
    dialog_ask(
        t, (struct question){
               .kind = QUESTION_ENVELOPE,
               .messages = messages,
               .recipients = wanted > held ? wanted - held : 0});
}

/* The limits first: what is over them asks nobody's DNS, and each sender that SPF is asked about
 * has cost a message, so that nobody finds out by trying. */
static bool begin(struct dialog_turn *t, bool plain, uint32_t recipients)
{
    struct dialog *d = t->d;
    enum spf_use use = d->setup->conf->spf.use;
    struct verdict v = policy_sender(d->setup->class, use, plain);
    d->record.spf = is_spf_in_use(d) ? SPF_NONE : SPF_NOT_ASKED;
    d->record.spf_helo = SPF_NOT_ASKED;
    d->spf_known = d->priced = !is_spf_in_use(d) || !plain; /* none: RFC 7208 section 2.6.1 */
    d->paid = 0;
    if (v.shadow) {
        dialog_record_verdict(t, &v);
    }
    if (v.action != VERDICT_FORWARD) {
        refuse(d, &v);
        return true;
    }
    bool may_fail = !d->spf_known && use != SPF_USE_LOG;
    ask(t, 1, may_fail ? 0 : recipients);
    return false;
}

/* The rest of what a mail costs that SPF fails. */
static bool surcharge(struct dialog_turn *t, uint32_t recipients)
{
    struct dialog *d = t->d;
    uint32_t cost = policy_message_cost(
        d->setup->class, &d->setup->conf->spf, d->record.spf, d->record.spf_helo);
    d->priced = true;
    if (cost <= 1) {
        return true;
    }
    d->paid = 1;
    ask(t, cost - 1, recipients);
    return false;
}

bool dialog_decide_mail(struct dialog_turn *t, struct span argument, uint32_t recipients)
{
    struct dialog *d = t->d;
    if (d->decision == DECISION_NONE) {
        return begin(t, smtp_path_is_plain_mail(argument), recipients);
    }
    if (d->decision == DECISION_GRANTED && !d->spf_known) {
        dialog_ask_spf(t);
        return false;
    }
    return d->decision == DECISION_REFUSED || d->priced || surcharge(t, recipients);
}

void dialog_answer_spf(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    const struct spf_answer *answer = &t->event->spf;
    struct verdict v = policy_spf(d->setup->class, d->setup->conf->spf.use, answer);
    d->spf_known = true;
    d->record.spf = answer->sender;
    d->record.spf_helo = answer->helo;
    if (v.shadow) {
        dialog_record_verdict(t, &v);
    }
    if (v.action == VERDICT_FORWARD) {
        return;
    }
    struct text explanation;
    text_init(&explanation, t->out->explanation, sizeof t->out->explanation);
    text_add(&explanation, v.rule == RULE_SPF ? answer->sender_words : answer->helo_words);
    t->explanation = t->out->explanation;
    dialog_renew(t, WORD_EXPLANATION, text_span(&explanation));
    refuse(d, &v);
}
