/* A registration from the confirmed form to its end, as a state machine. Time, and what the line's
 * standing is, are arguments; what has to be written and told comes out.
 *
 *            confirm                 approve             probation over
 *   (none) -----------> pending -----------> probation -----------------> registered
 *      \                   | refuse               \______________________________/
 *       \ rules approve    v                           |  withdraw, its end, the line's standing
 *        `-> probation   refused                       v  changed by somebody else
 *                                            withdrawn, expired, ended
 *
 * What was only asked for lives in its token (g25:signup:...) and is none yet. */
#ifndef GATE25_CORE_REGISTRATION_H
#define GATE25_CORE_REGISTRATION_H

#include "core/signup_checks.h"

#define REGISTRATION_CLASS    "registered"
#define REGISTRATION_WHO      256
#define REGISTRATION_WHY      501 /* a reason that the customer is told */
#define REGISTRATION_LANGUAGE 16

enum registration_state {
    REGISTRATION_NONE,
    REGISTRATION_PENDING,    /* confirmed; waits for the desk */
    REGISTRATION_PROBATION,  /* approved, in the class of the probation */
    REGISTRATION_REGISTERED, /* ... in the class REGISTRATION_CLASS */
    REGISTRATION_REFUSED,    /* by the desk */
    REGISTRATION_WITHDRAWN,  /* by the subscriber */
    REGISTRATION_EXPIRED,    /* not renewed */
    REGISTRATION_ENDED,      /* the line's standing was changed or taken by an operator */
    REGISTRATION_STATES
};

/* What the configuration rules. */
struct registration_rules {
    bool desk_only;    /* nothing is approved without the desk */
    unsigned required; /* bits (1 << enum signup_check) that must be good for an approval at once */
    uint64_t term_s;   /* a registration's life */
    uint64_t reminder_s;  /* before its end a mail reminds, and it can be renewed */
    uint64_t probation_s; /* 0: none */
    const char *probation_class;
};

struct registration {
    uint64_t version; /* counts the writes; 0: nothing is stored */
    enum registration_state state;
    struct signup_request request;
    struct signup_checks checks;
    char language[REGISTRATION_LANGUAGE]; /* of mails to the contact */
    int64_t confirmed_s, decided_s, probation_until_s, until_s, reminded_s; /* 0: not (yet) */
    char class[CONF_NAME]; /* that it has given the line last; empty: none */
    char by[REGISTRATION_WHO], why[REGISTRATION_WHY]; /* of the last decision */
};

enum registration_event {
    REGISTRATION_CONFIRM,  /* the link was used; `fresh` holds what was asked for */
    REGISTRATION_APPROVE,  /* the desk */
    REGISTRATION_REFUSE,   /* the desk, with a reason */
    REGISTRATION_RENEW,    /* the link of the reminder was used, or the desk does it */
    REGISTRATION_WITHDRAW, /* the subscriber */
    REGISTRATION_TICK      /* time has passed */
};

/* What the line's standing is when the event comes. */
struct registration_line {
    const char *class; /* of its own standing, in force; empty: it has none */
    bool refused;      /* the class that holds for it refuses: a quarantine */
};

struct registration_input {
    enum registration_event event;
    int64_t now_s;
    struct registration_line line;
    const struct registration *fresh; /* REGISTRATION_CONFIRM: request, checks, language */
    const char *by, *why;             /* who says so, and a reason; never NULL */
};

/* Why an event changes nothing. */
enum registration_answer {
    REGISTRATION_DONE,
    REGISTRATION_NOTHING,     /* REGISTRATION_TICK: nothing was due */
    REGISTRATION_QUARANTINED, /* first the quarantine has to end */
    REGISTRATION_ALREADY,     /* the line is registered */
    REGISTRATION_NOT_PENDING, /* nothing waits for a decision */
    REGISTRATION_NOT_THERE,   /* nothing to withdraw or to renew */
    REGISTRATION_TOO_EARLY    /* it cannot be renewed yet */
};

enum registration_standing { STANDING_STAYS, STANDING_GIVEN, STANDING_TAKEN };

/* Mails to the contact address; their texts are the templates'. */
enum registration_mail {
    REGISTRATION_MAIL_NONE,
    REGISTRATION_MAIL_CONFIRM,  /* the link that confirms; not of registration_step() */
    REGISTRATION_MAIL_APPROVED, /* by the desk, or by the rules */
    REGISTRATION_MAIL_REFUSED,
    REGISTRATION_MAIL_REMINDER, /* with the link that renews */
    REGISTRATION_MAIL_RENEWED,
    REGISTRATION_MAIL_WITHDRAWN,
    REGISTRATION_MAIL_EXPIRED,
    REGISTRATION_MAILS
};

struct registration_effects {
    enum registration_standing standing; /* given: class and until_s of the registration */
    enum registration_mail mail;
    const char *verb; /* for the trail of changes */
};

/* What holds for `r` now that the line has that standing, whatever has been written down of it. */
enum registration_state registration_now(
    const struct registration *r, const struct registration_line *line, int64_t now_s);

/* Applies the event to `r`; with any answer but REGISTRATION_DONE it stays as it was. The caller
 * writes `r` (its version is the old one) and carries out the effects only if that write succeeds.
 */
enum registration_answer registration_step(
    struct registration *r, const struct registration_rules *rules,
    const struct registration_input *input, struct registration_effects *effects);

/* When REGISTRATION_TICK has something to do next, Unix seconds; 0: never. */
int64_t registration_due(const struct registration *r, const struct registration_rules *rules);
/* May be renewed at `now_s`, by its dates. */
bool registration_renewable(
    const struct registration *r, const struct registration_rules *rules, int64_t now_s);
bool registration_is_active(enum registration_state s); /* on probation or registered */

const char *registration_state_name(enum registration_state s); /* "none", "pending", ... */
bool registration_state_named(struct span name, enum registration_state *out);
const char *registration_mail_name(enum registration_mail m); /* "confirm", "approved", ... */

#endif
