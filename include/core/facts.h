/* What is known when a decision is due. What nobody could find out is a fact too: UNKNOWN. */
#ifndef GATE25_CORE_FACTS_H
#define GATE25_CORE_FACTS_H

#include "core/conf.h"

/* What a dialog asks the meter. */
enum question_kind {
    QUESTION_SESSION,  /* a session to `destination`: sessions, spread, concurrent, no debt of bytes
                        * or messages */
    QUESTION_ENVELOPE, /* `messages` (0, one, or the rest of what it costs), up to `recipients`; no
                        * byte debt */
    QUESTION_CHECKPOINT, /* `bytes` and `messages` that were sent already: charge them */
    QUESTION_CONTENT, /* a checkpoint before the content of an encrypted message is passed on: takes
                       * `messages`, or none, and refuses sessions until there is one */
    QUESTION_BRIDGE,  /* a session that is to be bridged to submission: concurrent alone */
    QUESTION_SPF /* not for the meter: may the client send for the record's `from`, and `helo`? */
};

struct question {
    enum question_kind kind;
    uint32_t messages;
    uint32_t
        recipients; /* wanted; fewer may be granted. With a message: zero granted is a grant too */
    uint64_t bytes; /* sent since the last question: charged whatever the answer is */
    bool slot;      /* the session's slot in `concurrent` is to be renewed; QUESTION_SESSION's is */
};

enum meter_state {
    METER_UNKNOWN, /* nobody answered in time */
    METER_WITHIN,  /* granted; tokens are taken */
    METER_OVER /* nothing was taken but `bytes`, which were used already; of QUESTION_CHECKPOINT:
                * its messages were, and have left a debt */
};

/* The meter's answer. `limit`, `window` and `retry_us` name the window that refuses, with
 * METER_OVER the whole question, with METER_WITHIN the recipients beyond `recipients`. */
struct answer {
    enum meter_state state;
    uint32_t recipients; /* granted */
    bool bytes_over;     /* the byte bucket is in debt: slow down (opaque sessions) */
    enum limit_kind limit;
    unsigned window;
    double retry_us; /* until the refused tokens are there; of the byte debt when bytes_over */
    bool stand_in;   /* the shared meter did not answer: this is this process's own, or UNKNOWN */
    bool uncharged;  /* it was not even asked, being known: the question's bytes are still due */
};

/* What SPF (RFC 7208) says of the sender of a mail. */
enum spf_result {
    SPF_NOT_ASKED,
    SPF_UNKNOWN, /* nobody answered in time */
    SPF_NONE,
    SPF_NEUTRAL,
    SPF_PASS,
    SPF_FAIL,
    SPF_SOFTFAIL,
    SPF_TEMPERROR,
    SPF_PERMERROR,
    SPF_RESULTS
};

#define SPF_EXPLANATION 256 /* room for what comes with it */

/* What it says of both names that a client gives (RFC 7208 sections 2.3 and 2.4), and why, in
 * words that are anything, valid during the call. With an empty reverse-path the two are one. */
struct spf_answer {
    enum spf_result sender, helo;
    struct span sender_words, helo_words;
};

const char *spf_result_name(enum spf_result r); /* "softfail", "unknown"; NULL: not asked */

#endif
