/* The one place where facts become a verdict. */
#ifndef GATE25_CORE_POLICY_H
#define GATE25_CORE_POLICY_H

#include "core/facts.h"
#include "core/verdict.h"

#define POLICY_STORE_RETRY_S 60 /* what a client is told to wait while Redis is away */

/* A session of `class` begins, before anything is asked: refuses, bridges it to submission, or lets
 * the meter be asked. */
struct verdict policy_admit(const struct conf_class *class);

/* The line's class has become `now` while a session of `was` is open. True: it may not go on: the
 * line would be refused now, or is no longer to pass unmetered. What else has changed is for its
 * next session. */
bool policy_ends(const struct conf_class *was, const struct conf_class *now);

/* The client asks for STARTTLS. */
struct verdict policy_starttls(const struct conf_class *class);

/* The meter has answered `question`: may it be forwarded? */
struct verdict policy_meter(
    const struct conf_class *class, enum when_down when_down, const struct question *question,
    const struct answer *answer);

/* Whether the meter's answer may yet be that a session of `class` is bridged: until it has come, no
 * server is to be connected. */
bool policy_may_bridge(const struct conf_class *class);

/* The session that `v` bridges found no submission service. */
struct verdict policy_unbridged(const struct verdict *v);

/* As `v`, of policy_meter, for the rest of what a mail costs, `cost` messages in all: the `paid`
 * ones are lost, and have to be waited for again. */
struct verdict policy_price(
    const struct conf_class *class, uint32_t cost, uint32_t paid, const struct answer *answer,
    const struct verdict *v);

/* As policy_meter, for the recipients that a granted envelope left out. */
struct verdict policy_recipients(const struct conf_class *class, const struct answer *answer);

/* A MAIL, whose sender every server reads alike, or does not (core/smtp_path.h): where SPF decides
 * it has to. */
struct verdict policy_sender(const struct conf_class *class, enum spf_use use, bool plain);
/* SPF has answered: only a fail refuses, and only where it is used for that. A fail of the HELO
 * name is one (RFC 7208 section 2.3), except for a mail whose sender's domain names this address.
 */
struct verdict policy_spf(
    const struct conf_class *class, enum spf_use use, const struct spf_answer *answer);
/* The message tokens that a mail costs; never more than the class's buckets hold. */
uint32_t policy_message_cost(
    const struct conf_class *class, const struct conf_spf *spf, enum spf_result sender,
    enum spf_result helo);

#endif
