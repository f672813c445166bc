/* What the files signup*.c share. */
#ifndef GATE25_WEB_SIGNUP_INTERNAL_H
#define GATE25_WEB_SIGNUP_INTERNAL_H

#include <event2/event_struct.h>
#include <sys/queue.h>

#include "base/idmap.h"
#include "net/resolver.h"
#include "svc/mailer.h"
#include "svc/registration_codec.h"
#include "svc/registrations.h"
#include "web/signup.h"

#define SIGNUP_ID STORE_KEY

/* A mail with a link, of whose way the page tells. */
struct signup_sent {
    LIST_ENTRY(signup_sent) next;
    uint64_t ticket;
    char asked[STORE_KEY], contact[STORE_KEY]; /* keys */
    char token[TOKEN_TEXT];                    /* hash of the mail's */
};

/* Lives until the module has stopped and the last operation has ended. */
struct signup {
    struct site *site;
    unsigned references;
    bool stopped;
    struct resolver *resolver;
    struct idmap lookups;
    struct mailer *mailer; /* NULL: there is no smarthost, nobody registers */
    struct event job;
    LIST_HEAD(signup_sents, signup_sent) sent;
};

struct signup *signup_of(const struct site *site);
struct signup *signup_hold(struct signup *s);
void signup_release(struct signup *s);

/* --- signup_change.c: reads, decides, writes; again where somebody else was faster --- */

struct signup_event {
    struct span id;
    enum registration_event event;
    const struct registration *fresh; /* of a confirmation; copied, as are the others */
    struct span by, why;
};

void signup_change(
    struct signup *s, const struct signup_event *event, signup_changed_cb changed, void *context);
struct registration_rules signup_rules(const struct conf *conf);
/* What the line's standing says, by Redis (`class`) and by the mirror (a wider one). */
struct registration_line signup_line(const struct site *site, struct span id, const char *class);

/* --- signup_mail.c --- */

/* Sends a mail about `r` to its contact; `token` is that of its link, or NULL. Its ticket; 0: it
 * could not be queued. */
uint64_t signup_mail(
    struct signup *s, enum registration_mail mail, const struct registration *r, struct span id,
    const char *token);
/* The reminder has a link that has to be made first. */
void signup_mail_reminder(struct signup *s, const struct registration *r, struct span id);
void signup_on_told(void *signup, uint64_t ticket, enum mailer_state state);

/* --- signup_look.c: what DNS and SPF say --- */

int signup_look_start(struct signup *s, const struct conf *conf, struct text *error)
    __attribute__((warn_unused_result));
void signup_look_stop(struct signup *s);

typedef void (*signup_looked_cb)(struct visit *v, const struct signup_checks *checks);
/* Asks for what signup_request says, from the visitor's line; some seconds at most. */
void signup_look(struct visit *v, const struct signup_request *request, signup_looked_cb looked);

/* --- signup_job.c --- */

int signup_job_start(struct signup *s) __attribute__((warn_unused_result));

#define SIGNUP_MAIL_EVERY                                                                          \
    "3600" /* seconds from one mail to an address to the next, whoever asks                        \
            */

/* --- pages --- */

/* What the handlers of a visit hand on. */
struct signup_view {
    struct registration fresh; /* what the form, or a token, says */
    struct registration_seen seen;
    bool asked;    /* ... in `fresh`, there is something that waits for its link */
    char mail[16]; /* what has become of its mail */
    int64_t asked_s;
    char token[TOKEN_TEXT], token_hash[TOKEN_TEXT];
    enum signup_fault faults[SIGNUP_FIELDS];
    struct signup_form form; /* as it was sent */
    bool changed;            /* signup_change() has come to an end, with ... */
    enum registration_answer answer;
    bool sent;          /* the form was */
    bool used;          /* the link was, before */
    bool mailed_before; /* within the hour, to that contact address */
    int64_t wait_s;     /* until the line may ask for a mail again; 0: it may */
    int64_t link_s;     /* how long the link is good that the address has or is sent */
    struct look *look;  /* signup_look.c's */
    /* What was asked for before: hash of the link, what became of its mail. */
    char old_token[TOKEN_TEXT], old_mail[16];
};

struct signup_view *signup_view(struct visit *v);
/* The line that a visitor can register: the account that holds the address it connects from, or
 * else the unit, whatever wider standing is over it. */
struct span signup_line_id(const struct visit *v, char out[SIGNUP_ID]);
/* What signup_line() says of it; besides, a standing over a wider prefix that refuses whoever is
 * there does so until the account has one of its own, which nobody gives himself. */
struct registration_line signup_visit_line(const struct visit *v, const char *class);
bool signup_range_refuses(const struct visit *v);
/* Where the line's question stands behind the link of that hash. Of one mail each line that has
 * asked with its contact address has a question of its own, and confirms that alone. */
struct span signup_link_key(const struct visit *v, const char *token_hash, char out[STORE_KEY]);
/* Where the last mail to a contact address is counted. */
struct span signup_contact_count(const char *contact, char out[STORE_KEY]);
void signup_fresh_by(struct visit *v, char out[REGISTRATION_WHO]); /* who it is, for the trail */
/* Asks for the line's registration and for what waits for its link: into the view. */
void signup_ask_line(struct visit *v);
/* Reads the answer of gate25_registration_read; false: it is none. */
bool signup_seen(const struct redis_reply *reply, struct registration_seen *out);
/* The page `register` with what the view holds. `checks`: of the form that was sent, or NULL. */
void signup_show(struct visit *v, int status, const struct signup_checks *checks);

void signup_page(struct visit *v);         /* GET /register */
void signup_post(struct visit *v);         /* POST /register */
void signup_confirm_page(struct visit *v); /* GET /confirm */
void signup_confirm_post(struct visit *v);
void signup_renew_page(struct visit *v); /* GET /renew */
void signup_renew_post(struct visit *v);
void signup_withdraw_page(struct visit *v); /* GET /withdraw */
void signup_withdraw_post(struct visit *v);

#endif
