/* Standings by prefix, on the heap: a core/prefix_map.h that grows, with class names for values. */
#ifndef GATE25_SVC_STANDING_MAP_H
#define GATE25_SVC_STANDING_MAP_H

#include "core/account.h"
#include "core/conf.h"
#include "core/prefix_map.h"

/* The family of an account in the map: it stands there under a digest of its name, where no address
 * and no prefix can lead. Whoever reads slots for their addresses passes it over. */
#define STANDING_ACCOUNT 1

/* What the standing of `id` stands under. False: nobody has such an id. */
bool standing_key(struct span id, struct prefix *out);
#define STANDING_KEY_TEXT 64
/* The key as text, and back: a prefix, or "=" and the digest's digits. */
void standing_key_format(const struct prefix *key, char out[STANDING_KEY_TEXT]);
bool standing_key_parse(struct span text, struct prefix *out);

/* Every class name seen so far, whether the configuration of the day knows it or not: a reload
 * needs no new scan. A name keeps its number for ever. */
struct class_names {
    char (*name)[CONF_NAME];
    uint32_t count;
};

/* The number of `name`, a new one where needed. -1: no class can be called that, there are absurdly
 * many, or out of memory. */
int64_t class_names_intern(struct class_names *n, struct span name);
struct span class_names_at(const struct class_names *n, uint32_t number);
void class_names_fini(struct class_names *n);

/* The standing of the account, on the same terms. */
const struct prefix_slot *standing_map_account(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const char *account, int64_t now_s, const struct conf_class **class);

/* The longest standing over `a`, of `max_len` bits at most, that has not ended at `now_s` and whose
 * class `conf` knows; `class` is set with it. NULL: there is none. */
const struct prefix_slot *standing_map_find(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const struct addr *a, int max_len, int64_t now_s, const struct conf_class **class);

#endif
