/* A worker's sessions: found by id, counted, and freed at the end of the loop's turn. */
#ifndef GATE25_PROXY_SESSIONS_H
#define GATE25_PROXY_SESSIONS_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/idmap.h"

struct session;

/* The number of sessions has changed. */
typedef void (*sessions_count_cb)(void *context, size_t count);

struct sessions {
    struct idmap map;
    struct session *dead; /* a list, freed by `sweep` */
    struct event sweep;
    sessions_count_cb counted;
    void *context;
};

/* -1: out of memory. */
int sessions_init(
    struct sessions *all, struct event_base *base, sessions_count_cb counted, void *context)
    __attribute__((warn_unused_result));
void sessions_fini(struct sessions *all); /* aborts those that are left */

uint64_t sessions_add(struct sessions *all, struct session *s); /* IDMAP_NONE: out of memory */
struct session *sessions_get(const struct sessions *all, uint64_t id);
/* Takes one out that never began, and is its caller's. */
void sessions_remove(struct sessions *all, struct session *s);
/* Takes the session out; its memory goes at the end of the loop's turn. */
void sessions_bury(struct sessions *all, struct session *s);
size_t sessions_count(const struct sessions *all);

void sessions_shut_down(struct sessions *all);  /* asks all to end between commands */
void sessions_look_again(struct sessions *all); /* standings have changed */
void sessions_abort(struct sessions *all);      /* ends all at once */

#endif
