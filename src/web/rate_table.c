#include "rate_table.h"

#include <stdlib.h>
#include <string.h>

#include "net/tls.h"

#define SETS 2048
#define WAYS 8
#define SEED 16

struct bucket {
    uint64_t key; /* 0: free */
    double tat_us;
};

struct rate_table {
    char seed[SEED]; /* nobody can choose ids that collide */
    struct bucket bucket[SETS][WAYS];
};

struct rate_table *rate_table_new(void)
{
    struct rate_table *t = calloc(1, sizeof(*t));

    if (t && tls_random(t->seed, sizeof(t->seed)) != 0) {
        free(t);
        t = NULL;
    }
    return t;
}

void rate_table_free(struct rate_table *t)
{
    free(t);
}

static uint64_t key_of(const struct rate_table *t, struct span id, unsigned kind)
{
    uint8_t digest[TLS_DIGEST] = {0};
    uint64_t key;

    if (tls_hmac((struct span){t->seed, SEED}, id, digest) == 0) {
        memcpy(&key, digest, sizeof(key));
    } else {
        key = id.len; /* no memory: all share a few buckets */
    }
    key += kind;
    return key != 0 ? key : 1;
}

/* The bucket of that key, or in place of the one that is nearest to being full. */
static struct bucket *find(struct rate_table *t, uint64_t key)
{
    struct bucket *set = t->bucket[key / 16 % SETS], *worst = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        if (set[i].tat_us < worst->tat_us) {
            worst = &set[i];
        }
    }
    *worst = (struct bucket){.key = key};
    return worst;
}

double rate_table_take(
    struct rate_table *t, struct span id, unsigned kind, const struct rate *rate, double now_us)
{
    struct bucket *b = find(t, key_of(t, id, kind));

    if (rate_available(rate, b->tat_us, now_us, 1) == 0) {
        return rate_wait_us(rate, b->tat_us, now_us, 1);
    }
    b->tat_us = rate_take(rate, b->tat_us, now_us, 1);
    return 0;
}
