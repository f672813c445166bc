/* Reads the configuration file (libConfuse) into core/conf.h. */
#ifndef GATE25_SVC_CONF_FILE_H
#define GATE25_SVC_CONF_FILE_H

#include "core/conf.h"

#define CONF_FILE_DEFAULT "/etc/gate25/gate25.conf"
#define CONF_FILE_WEB     "/etc/gate25/gate25-web.conf" /* of gate25-web */

/* Reads and checks `file`. NULL: nothing usable, and `error` says
 * "file:line: what is wrong, and what is allowed". The caller holds the one reference. */
struct conf *conf_file_read(const char *file, struct text *error)
    __attribute__((warn_unused_result));

struct conf *conf_hold(struct conf *c);
void conf_release(struct conf *c); /* the last one frees; NULL is fine */

/* Names what differs between the two and takes a restart to change ("intercept", "redis"), comma
 * separated; empty: a reload is enough. */
void conf_needs_restart(const struct conf *old, const struct conf *new, struct text *out);
/* The same of what gate25-bypassd uses. */
void conf_bypass_needs_restart(const struct conf *old, const struct conf *new, struct text *out);

#endif
