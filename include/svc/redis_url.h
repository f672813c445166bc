/* Where Redis is, written as a URL. */
#ifndef GATE25_SVC_REDIS_URL_H
#define GATE25_SVC_REDIS_URL_H

#include "core/conf.h"

#define REDIS_URL_ALLOWED                                                                          \
    "unix:/PATH[?db=N], redis://[USER:PASSWORD@]HOST[:PORT][/N], "                                 \
    "redis-sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/MASTER[/N], "                   \
    "redis-cluster://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...], and with TLS rediss://, "       \
    "rediss-sentinel://, rediss-cluster://"

/* Sets what a URL says of `out`: kind, places, master, TLS or not, user, password, database. User
 * and password may be percent-encoded. NULL: done; else what is wrong, without a word of the
 * password, and `out` is as it was. */
const char *redis_url_parse(struct span url, struct conf_redis *out)
    __attribute__((warn_unused_result));
/* As an operator would name it: "/run/redis.sock", "redis.example:6379", "main of a:26379,
 * b:26379". */
void redis_url_name(const struct conf_redis *where, struct text *out);
/* "HOST:PORT", an IPv6 address in brackets. */
void redis_place_name(const struct conf_redis_place *place, struct text *out);

#endif
