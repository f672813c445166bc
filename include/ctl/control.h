/* The operators' socket: one line with a verb and its arguments in, one line of JSON out. */
#ifndef GATE25_CTL_CONTROL_H
#define GATE25_CTL_CONTROL_H

#include <event2/event.h>

#include "base/str.h"

struct control;

/* Answers the client called `ticket` with one line of JSON; it may be gone. `control` is the
 * struct control. */
typedef void (*control_answer_cb)(void *control, uint64_t ticket, const char *line);

/* A verb. `run` takes no arguments and returns one line of JSON on the heap (the control frees it),
 * or NULL: out of memory. `begin`, in its place, has `answer` called, now or later. */
struct control_verb {
    const char *name;
    char *(*run)(void *context);
    void (*begin)(
        void *context, const char *arguments, control_answer_cb answer, void *control,
        uint64_t ticket);
    uint32_t patience_ms; /* that its answer may take; 0: as long as any client */
};

/* Listens on the unix socket `path` (mode 0660; one left behind by a dead process is replaced).
 * `verbs` outlives the control. NULL: `error` says why. An unknown verb is answered with
 * {"error": ...} that names the known ones; slow and silent clients are dropped after a while,
 * and when others come. */
struct control *control_new(
    struct event_base *base, const char *path, const struct control_verb *verbs, size_t count,
    void *context, struct text *error) __attribute__((warn_unused_result));
/* The same with a socket that the process before this one listens with. Where it is another path's,
 * or none (-1), one is opened. Nobody is served before control_begin(). */
struct control *control_adopt(
    struct event_base *base, const char *path, int fd, const struct control_verb *verbs,
    size_t count, void *context, struct text *error) __attribute__((warn_unused_result));
/* The process before this one serves no more clients. */
void control_begin(struct control *c);
/* That other processes may go on with; -1: there is none. */
int control_socket(const struct control *c);
/* Leaves the socket to another process and takes no more clients; those that are there are
 * answered. */
void control_leave(struct control *c);
/* Removes the socket, unless it was left; but not in a forked child, which only lets go of it. */
void control_free(struct control *c);

/* The client's side, blocking: asks and waits for the answer (free it). -1: `error` says why. */
int control_ask(
    const char *path, const char *verb, unsigned timeout_ms, char **answer, struct text *error)
    __attribute__((warn_unused_result));

#endif
