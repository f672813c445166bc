/* One session of the load: a client's side of SMTP (RFC 5321), from connect() to the close. */
#ifndef GATE25_BENCH_LOAD_SESSION_H
#define GATE25_BENCH_LOAD_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "bench/channel.h"
#include "bench/load_options.h"
#include "bench/load_pace.h"
#include "bench/load_reply.h"
#include "bench/load_script.h"
#include "bench/load_tally.h"

#define LOAD_INPUT_SIZE 16384

struct session;
TAILQ_HEAD(sessions, session);

/* What all sessions share. */
struct load {
    const struct load_options *options;
    struct script script;
    struct tally tally;
    SSL_CTX *tls; /* NULL: no STARTTLS */
    int epoll;
    uint32_t arriving;       /* sessions that pace_due() wants to know of */
    uint32_t holding;        /* those that have, and are held */
    struct sessions pausing; /* whose pause ends first, first: all pause equally long */
    char input[LOAD_INPUT_SIZE];
};

struct session {
    struct channel channel; /* fd -1: there is none */
    enum place place;       /* what is waited for */
    bool is_arriving;       /* there was none in its place, and EHLO was not answered yet */
    bool is_refused;        /* what remains to be done is to leave */
    bool is_last;           /* no message follows the one that was said */
    bool has_quit;
    uint32_t messages;   /* that are to be said */
    uint32_t recipients; /* that are to be answered, of this message */
    struct reply reply;
    struct text unsent;      /* what the socket did not take, or is said after a pause */
    int64_t pauses_until_ns; /* 0: does not pause */
    TAILQ_ENTRY(session) pausing;
    int64_t began_ns;
    int64_t connected_ns; /* or when TLS began */
    int64_t said_ns;      /* when that was written whose reply has not begun; 0: there is none */
    int64_t moved_ns;     /* when something was written or read last */
};

/* Begins a session between `ends`. False: it has failed, and was counted. */
bool session_begin(
    struct load *load, struct session *s, const struct session_ends *ends, bool is_arriving,
    int64_t now_ns);

/* Does what the events of epoll ask for, now being `now_ns`. False: the session is over, and was
 * counted. */
bool session_serve(struct load *load, struct session *s, uint32_t events, int64_t now_ns);

/* The session whose pause is over at `now_ns`, if there is one, the longest over first. */
struct session *session_rested(const struct load *load, int64_t now_ns);

/* Has it say what it has paused before. False: it is over, and was counted. */
bool session_go_on(struct load *load, struct session *s);

/* Ends a session that waits in vain. */
void session_give_up(struct load *load, struct session *s);

/* Has a session that is held say QUIT. False: it is over, and was counted. */
bool session_release(struct load *load, struct session *s);

#endif
