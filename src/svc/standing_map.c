#include "svc/standing_map.h"

#include <stdlib.h>
#include <string.h>

#include "net/tls.h"

#define MOST_NAMES 4096

int64_t class_names_intern(struct class_names *n, struct span name)
{
    char(*larger)[CONF_NAME];

    for (uint32_t i = 0; i < n->count; i++) {
        if (span_equal(class_names_at(n, i), name)) {
            return i;
        }
    }
    if (name.len == 0 || name.len >= CONF_NAME || n->count == MOST_NAMES ||
        memchr(name.at, '\0', name.len) != NULL) {
        return -1;
    }
    larger = realloc(n->name, (n->count + 1) * sizeof(*larger));
    if (larger == NULL) {
        return -1;
    }
    n->name = larger;
    memcpy(larger[n->count], name.at, name.len);
    larger[n->count][name.len] = '\0';
    return n->count++;
}

struct span class_names_at(const struct class_names *n, uint32_t number)
{
    return span_of(n->name[number]);
}

void class_names_fini(struct class_names *n)
{
    free(n->name);
    *n = (struct class_names){0};
}

/* Does it hold? Sets its class then. */
static bool holds(
    const struct prefix_slot *s, const struct class_names *names, const struct conf *conf,
    int64_t now_s, const struct conf_class **class)
{
    if (s->until_s != 0 && s->until_s <= now_s) {
        return false;
    }
    *class = conf_class_named(conf, class_names_at(names, s->value));
    return *class != NULL;
}

const struct prefix_slot *standing_map_find(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const struct addr *a, int max_len, int64_t now_s, const struct conf_class **class)
{
    const struct prefix_slot *s = prefix_map_cover(m, a, max_len);

    for (; s != NULL; s = prefix_map_cover(m, a, (int)s->len - 1)) {
        if (holds(s, names, conf, now_s, class)) {
            return s;
        }
    }
    return NULL;
}

const struct prefix_slot *standing_map_account(
    const struct prefix_map *m, const struct class_names *names, const struct conf *conf,
    const char *account, int64_t now_s, const struct conf_class **class)
{
    const struct prefix_slot *s;
    struct prefix key;

    if (!standing_key(span_of(account), &key)) {
        return NULL;
    }
    s = prefix_map_get(m, &key);
    return s != NULL && holds(s, names, conf, now_s, class) ? s : NULL;
}

/* --- keys --- */

bool standing_key(struct span id, struct prefix *out)
{
    uint8_t digest[TLS_DIGEST];
    char account[ACCOUNT_TEXT];

    if (prefix_parse(id, out) == PREFIX_OK) {
        return true;
    }
    if (!account_parse(id, account) || !span_equal(id, span_of(account)) ||
        tls_sha256(id, digest) != 0) {
        return false;
    }
    *out = (struct prefix){.addr.family = STANDING_ACCOUNT, .len = 128};
    memcpy(out->addr.bytes, digest, sizeof(out->addr.bytes));
    return true;
}

void standing_key_format(const struct prefix *key, char out[STANDING_KEY_TEXT])
{
    struct text t;

    if (key->addr.family != STANDING_ACCOUNT) {
        prefix_format(key, out);
        return;
    }
    text_init(&t, out, STANDING_KEY_TEXT);
    text_addf(&t, "=");
    for (size_t i = 0; i < sizeof(key->addr.bytes); i++) {
        text_addf(&t, "%02x", key->addr.bytes[i]);
    }
}

bool standing_key_parse(struct span text, struct prefix *out)
{
    static const char digits[] = "0123456789abcdef";

    if (text.len == 0 || text.at[0] != '=') {
        return prefix_parse(text, out) == PREFIX_OK;
    }
    *out = (struct prefix){.addr.family = STANDING_ACCOUNT, .len = 128};
    if (text.len != 1 + 2 * sizeof(out->addr.bytes)) {
        return false;
    }
    for (size_t i = 1; i < text.len; i++) {
        const char *digit = memchr(digits, text.at[i], sizeof(digits) - 1);

        if (digit == NULL) {
            return false;
        }
        uint8_t *byte = &out->addr.bytes[(i - 1) / 2];
        *byte = (uint8_t)(*byte << 4 | (digit - digits));
    }
    return true;
}
