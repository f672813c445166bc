#include "core/conf_digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* FNV-1a, 64 bits. */
#define BASIS 0xcbf29ce484222325u
#define PRIME 0x100000001b3u

static uint64_t add_bytes(uint64_t hash, const void *at, size_t len)
{
    for (const unsigned char *p = at; len > 0; p++, len--) {
        hash = (hash ^ *p) * PRIME;
    }
    return hash;
}

static uint64_t add_number(uint64_t hash, uint64_t n)
{
    return add_bytes(hash, &n, sizeof(n));
}

/* So that in a sum no two changes make up for one another, as they do in FNV's low bits. */
static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    return hash ^ hash >> 33;
}

static uint64_t digest_of_class(const struct conf_class *c, bool is_default)
{
    uint64_t hash = add_bytes(BASIS, c->name, strlen(c->name) + 1);

    hash = add_number(hash, c->action);
    hash = add_number(hash, c->over);
    hash = add_number(hash, c->enforce);
    hash = add_number(hash, c->starttls);
    hash = add_number(hash, is_default);
    for (unsigned k = 0; k < LIMIT_KINDS; k++) {
        hash = add_number(hash, c->limit[k].windows);
        for (unsigned w = 0; w < c->limit[k].windows; w++) {
            hash = add_number(hash, c->limit[k].window[w].count);
            hash = add_number(hash, c->limit[k].window[w].period_us);
        }
    }
    return mix(hash);
}

void conf_policy_digest(const struct conf *c, char out[CONF_DIGEST])
{
    uint64_t all = 0;

    for (size_t i = 0; i < c->class_count; i++) {
        all += digest_of_class(&c->classes[i], i == c->default_class);
    }
    all = add_number(add_number(BASIS, all), c->ipv6_unit);
    all = add_number(all, c->spf.use);
    all = add_number(all, c->journal_keep_s);
    snprintf(out, CONF_DIGEST, "%016" PRIx64, all);
}
