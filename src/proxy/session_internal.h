/* What the files session*.c share. */
#ifndef GATE25_PROXY_SESSION_INTERNAL_H
#define GATE25_PROXY_SESSION_INTERNAL_H

#include "core/dialog.h"
#include "proxy/gate.h"
#include "proxy/session.h"

/* What is behind these bounds is not read, so a session holds less than a megabyte whatever is sent
 * and whoever does not read. Unsent bytes to a side that keep more from being made for it: */
#define SESSION_UNSENT_MOST (64 * 1024)
/* Unconsumed bytes that keep a side from being read further. */
#define SESSION_INPUT_MOST (DIALOG_LINE + 4096)
/* Between looks at a connection that no event tells of. */
#define SESSION_LOOK_MS 400
#define SESSION_SLOT    96

struct session {
    uint64_t id;
    struct session *next_dead;
    struct gate *gate;
    struct conf *conf;              /* the one it began with */
    struct stream stream[2];        /* by enum dialog_side */
    struct endpoint client, server; /* as the client sees the connection */
    struct endpoint upstream;       /* what it was connected to */
    struct event timer;
    int64_t armed_ms; /* when the timer fires; 0: not armed */
    int64_t started_ms, active_ms;
    int64_t close_ms; /* when ended: what was not sent by then is lost */
    size_t left;      /* when ended: bytes that the peers had not taken when last looked at */
    int64_t verdict_us, question_us; /* when what is waited for began; 0: nothing is */
    int64_t connect_us;              /* the same of the server */
    uint64_t bytes_up, bytes_down;
    uint64_t tick_at, tick_every; /* opaque: bytes up that make a tick due */
    uint64_t loop_mark;
    int connect_error;
    int passages;        /* core/passage.h */
    bool connect_failed; /* at once: the dialog has yet to hear of it */
    bool asked, opaque, ended, dead;
    bool undelivered; /* the client must not think that all it sent has arrived */
    bool ending[2];   /* what that side is sent now, its end follows at once */
    char case_id[CASE_TEXT];
    char *reason;             /* of a standing that refuses; NULL: none, or not known */
    char *word[DIALOG_WORDS]; /* NULL: none */
    bool words_lost;
    struct dialog_setup setup;
    struct dialog dialog;
    char subscriber[]; /* the id; without a class the client's address */
};

static inline enum dialog_side session_other(enum dialog_side side)
{
    return side == SIDE_CLIENT ? SIDE_SERVER : SIDE_CLIENT;
}

static inline bool session_is_bridged(const struct session *s)
{
    return s->dialog.admitted.action == VERDICT_SUBMIT;
}

/* So much waits to be sent to that side that nothing more is to be made for it. */
static inline bool session_is_full(const struct session *s, enum dialog_side side)
{
    return stream_unsent(&s->stream[side]) > SESSION_UNSENT_MOST;
}

/* Tells the dialog what has happened, until it has nothing more to say to it. */
void session_step(struct session *s, struct dialog_event *event);
void session_on_timer(evutil_socket_t fd, short what, void *context);
/* Moves `count` bytes off the front of `from`'s input to the other side. */
void session_forward(struct session *s, enum dialog_side from, size_t count);
/* Carries the dialog's actions out, in their order. */
void session_act(struct session *s, const struct dialog_actions *actions);

/* "198.51.100.7 port 25: Connection refused" */
void session_connect_detail(const struct session *s, struct text *out);

/* Who asks the meter. */
struct session_subject {
    struct meter_subject meter; /* points to the others, or to the session's */
    char slot[SESSION_SLOT];
    struct conf_class bridged; /* the class, with no limit but `concurrent` */
};

/* `bridged`: as a session of which nothing is metered but that it is open. */
void session_subject(const struct session *s, bool bridged, struct session_subject *out);
void session_record_refusal(struct session *s, const struct verdict *v);

/* The one door out: tells the journal, the meter and the counters, and lets what was said so far
 * leave before the connections close. */
void session_close(struct session *s, const struct verdict *v);
/* The same for want of memory or descriptors, of which the client is told. */
void session_close_without_memory(struct session *s);
/* Tells a client that there is no memory for its session, without taking any. */
void session_turn_away(struct gate *gate, int fd, const struct endpoint *client);
/* Ended: closes each side that has nothing left to say, and the session with the last. */
void session_linger(struct session *s);
/* (Re)arms the session's timer for what is due next. */
void session_set_timer(struct session *s);

#endif
