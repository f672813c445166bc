/* The process that holds the listening sockets and keeps the workers alive. */
#ifndef GATE25_PROXY_MASTER_H
#define GATE25_PROXY_MASTER_H

#include <event2/event.h>

#include "core/conf.h"

struct master;

/* What else this process serves (the control socket), for which there is one place: nobody is
 * served before this gate is the one, nor when another has taken over. */
struct master_doors {
    /* `fd` is the older gate's listening socket, taken over; -1: there is none. -1: `error`. */
    int (*open)(void *context, int fd, struct text *error);
    void (*begin)(void *context);
    int (*socket)(void *context); /* to hand on; -1: there is none */
    void (*leave)(void *context);
    void *context;
};

/* Opens everything that needs rights or can be in the way. `conf` is held; `conf_file` outlives the
 * master. NULL: `error` says why. */
struct master *master_new(
    struct conf *conf, const char *conf_file, const struct master_doors *doors, struct text *error)
    __attribute__((warn_unused_result));
void master_free(struct master *m);
struct event_base *master_base(struct master *m);

/* Gives up its rights, forks the workers and runs until SIGTERM or SIGINT and the last worker's
 * end. The exit status. */
int master_run(struct master *m);

/* Takes a line of JSON for the asker called `ticket`. */
typedef void (*master_answer_cb)(void *context, uint64_t ticket, const char *line);

/* Verbs of the control socket, `master` being the struct master: one line of JSON on the heap, or
 * NULL: out of memory. */
char *master_status_json(void *master);
char *master_health_json(
    void *master); /* {"health": "good" | "impaired" | "bad", "reasons": ...} */
char *master_drain_json(
    void *master); /* no more traffic is wanted: the health is bad from now on */
char *master_undrain_json(void *master); /* {"ok": true} */
char *master_reload_json(void *master);  /* {"ok": ..., "error": ..., "restart": ...} */
/* `arguments` are ADDRESS SENDER HELO, SENDER being "<>" where it is empty. The answer comes at
 * once or later: {"result": ..., "explanation": ..., "helo": ..., "helo_explanation": ...} or
 * {"error": ...}. */
void master_spf_json(
    void *master, const char *arguments, master_answer_cb answer, void *context, uint64_t ticket);

/* Starts the program anew and hands over to it: {"ok": true, "pid": ...} once it serves, or
 * {"error": ...}, and this gate goes on. */
void master_upgrade_json(
    void *master, const char *arguments, master_answer_cb answer, void *context, uint64_t ticket);

#endif
