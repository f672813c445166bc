/* One SPF evaluation (RFC 7208) with libspf2, which is fed from a memo: what it asks of the DNS and
 * the memo does not know is listed, given, and the evaluation runs again. No I/O, no clock.
 *
 * libspf2 alone would follow any number of includes and empty answers, and has a record that
 * smashes its stack (CVE-2023-42118): the limits of RFC 7208 section 4.6.4, and one on the size of
 * records, are kept here, before it sees anything. */
#ifndef GATE25_SPF_SPF_CHECK_H
#define GATE25_SPF_SPF_CHECK_H

#include "core/facts.h"
#include "core/spf_record.h"

#define SPF_CHECK_RECORD  SPF_RECORD_MOST
#define SPF_CHECK_LOOKUPS 10  /* terms that ask the DNS */
#define SPF_CHECK_VOIDS   2   /* of them, without an answer */
#define SPF_CHECK_NAMES   10  /* of one mx or ptr */
#define SPF_CHECK_MEMO    128 /* questions to the DNS, whatever for */
#define SPF_CHECK_NAME    256
#define SPF_CHECK_BYTES   262144 /* of all answers that one check may hold */

enum spf_dns_state {
    SPF_DNS_WANTED, /* nobody knows yet */
    SPF_DNS_FOUND,
    SPF_DNS_EMPTY, /* no such name, or no such record */
    SPF_DNS_FAILED /* a server's fault, or none answers */
};

struct spf_check;

/* libspf2's own log handlers end the process: call this once, before anything else. */
void spf_check_setup(void);

/* May `client` send for `sender`, the path as it stands in MAIL (spf/spf_sender.h)? Where that is
 * empty: for postmaster at `helo` (RFC 7208 section 2.4), which is how the HELO name is checked.
 * Texts are copied. NULL: out of memory. */
struct spf_check *spf_check_new(const struct addr *client, struct span helo, struct span sender)
    __attribute__((warn_unused_result));
void spf_check_free(struct spf_check *c);

/* Evaluates as far as the memo reaches. True: there is a result. */
bool spf_check_run(struct spf_check *c);
enum spf_result spf_check_result(const struct spf_check *c);
/* Why, in the sender's domain's own words where it has any. */
struct span spf_check_explanation(const struct spf_check *c);

/* The questions, numbered from 0: also those that were answered. The first is there before any run.
 */
size_t spf_check_count(const struct spf_check *c);
enum spf_dns_state spf_check_state(const struct spf_check *c, size_t i);
const char *spf_check_name(const struct spf_check *c, size_t i); /* without a dot at its end */
uint16_t spf_check_type(const struct spf_check *c, size_t i);    /* ns_t_txt, ns_t_a, ... */

/* Adds one record to the answer of question i: A and AAAA the address's bytes, MX and PTR the name,
 * TXT the whole text. An answer that there is no memory for counts as failed. */
void spf_check_add(struct spf_check *c, size_t i, struct span record);
/* The answer is complete. */
void spf_check_answer(struct spf_check *c, size_t i, enum spf_dns_state state);

#endif
