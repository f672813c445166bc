/* Where Redis is, written as a URL. */
#ifndef GATE25_SVC_REDIS_URL_H
#define GATE25_SVC_REDIS_URL_H

#include "core/conf.h"

#define REDIS_URL_ALLOWED "unix:/PATH[?db=N] or redis://[USER:PASSWORD@]HOST[:PORT][/N]"

/* Sets the address, user, password and database of `out`. User and password may be percent-encoded.
 * NULL: done; else what is wrong, without a word of the password, and `out` is as it was. */
const char *redis_url_parse(struct span url, struct conf_redis *out)
    __attribute__((warn_unused_result));

#endif
