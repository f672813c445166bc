/* The process that holds the listening sockets and keeps the workers alive. */
#ifndef GATE25_PROXY_MASTER_H
#define GATE25_PROXY_MASTER_H

#include <event2/event.h>

#include "core/conf.h"

struct master;

/* Opens everything that needs rights or can be in the way. `conf` is held; `conf_file` outlives the
 * master. NULL: `error` says why. */
struct master *master_new(struct conf *conf, const char *conf_file, struct text *error)
    __attribute__((warn_unused_result));
void master_free(struct master *m);
struct event_base *master_base(struct master *m);

/* Gives up its rights, forks the workers and runs until SIGTERM or SIGINT and the last worker's
 * end. The exit status. */
int master_run(struct master *m);

/* Verbs of the control socket, `master` being the struct master: one line of JSON on the heap, or
 * NULL: out of memory. */
char *master_status_json(void *master);
char *master_reload_json(void *master); /* {"ok": ..., "error": ..., "restart": ...} */

#endif
