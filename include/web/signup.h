/* The part of the site that registers mail servers: the form, its checks, the mail with the link,
 * and what becomes of a registration with time. For the desk: how it decides. */
#ifndef GATE25_WEB_SIGNUP_H
#define GATE25_WEB_SIGNUP_H

#include "core/registration.h"
#include "web/visit.h"

extern const struct site_module signup_module;

/* ok false: Redis did not answer, or too many want to change the same one. `now`: the registration
 * as it is then, valid during the call. */
typedef void (*signup_changed_cb)(
    void *context, bool ok, enum registration_answer answer, const struct registration *now);

/* The desk decides about the pending registration of `id`: REGISTRATION_APPROVE or
 * REGISTRATION_REFUSE. The customer is told, with the reason `why`. Called exactly once, from the
 * loop or from within the call; where it belongs to a visit, keep the visit's ticket. */
void signup_decide(
    struct site *site, struct span id, enum registration_event event, struct span by,
    struct span why, signup_changed_cb changed, void *context);

/* Asks for the registration of the visitor's line, as visit_try() does; the answer is for
 * signup_summary(): {case, was, registration, probation} for pages (README, "Registering"). NULL:
 * no answer. */
void signup_ask_registration(struct visit *v, visit_take_cb take);
json_t *signup_summary(const struct visit *v, const struct redis_reply *reply);

/* A registration as values for pages: state, contact, domain, host, reason, checks (a list of name,
 * result, host, domain, reverse, spf, server), confirmed, decided, until, probation_until, why. */
json_t *signup_json(const struct registration *r);

#endif
