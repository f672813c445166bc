/* How the files that read a configuration share it: read (conf_file.c), then checked as a whole
 * (conf_checks.c). */
#ifndef GATE25_SVC_CONF_FILE_INTERNAL_H
#define GATE25_SVC_CONF_FILE_INTERNAL_H

#include "svc/conf_file.h"
#include "svc/conf_syntax.h"

#define CONF_MESSAGE 1024

struct conf_reader {
    const char *file;
    cfg_t *cfg;
    struct conf *conf;
    struct text *error;
};

/* Says FILE:LINE: what is wrong and what is allowed. Always false. */
bool __attribute__((format(printf, 3, 4)))
conf_fail(const struct conf_reader *r, int line, const char *format, ...);

/* What no option by itself can be blamed for: options that need, or forbid, each other. */
bool conf_check_options(const struct conf_reader *r);
/* ... and that registering needs. Wants the classes to be set. */
bool conf_check_registration(const struct conf_reader *r);

#endif
