/* The configuration file's syntax: libConfuse, fed with the rows of svc/conf_options.h. Values stay
 * text here, each with its line; svc/conf_file.c finds out what they mean. */
#ifndef GATE25_SVC_CONF_SYNTAX_H
#define GATE25_SVC_CONF_SYNTAX_H

#include <confuse.h>

#include "base/str.h"

/* Each value of each key: cfg_opt_t.values[i]->ptr. */
struct conf_value {
    int line;
    char text[];
};

/* Reads `file`; cfg_free() it. NULL: `error` says "file:line: what is wrong; allowed: what is". */
cfg_t *conf_syntax_read(const char *file, struct text *error) __attribute__((warn_unused_result));
/* The line where a section begins; of others than classes that where it ends, 0: it is not there.
 */
int conf_syntax_line(const cfg_t *section);

#endif
