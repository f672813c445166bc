#include "svc/password.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COST      15 /* log2 of N: 32 MB with r = 8, what OWASP asks for with p = 3 at least ... */
#define BLOCK     8
#define PARALLEL  3 /* ... so three passes of it */
#define COST_MOST 20
#define PASS_MOST 16
#define MEMORY    (UINT64_C(256) << 20) /* what a hash from elsewhere may ask for */
#define SALT      16
#define KEY       32
#define BASE64(n) (((n) + 2) / 3 * 4 + 1)

struct recipe {
    uint64_t cost, block, parallel;
    uint8_t salt[SALT], key[KEY];
};

bool password_is_good(struct span password, struct text *error)
{
    if (password.len < PASSWORD_LEAST || password.len > PASSWORD_MOST) {
        text_addf(
            error, "a password has %d to %d bytes; this one has %zu", PASSWORD_LEAST, PASSWORD_MOST,
            password.len);
        return false;
    }
    if (password.at[0] == ' ' || password.at[password.len - 1] == ' ') {
        text_addf(error, "a password neither begins nor ends with a blank");
        return false;
    }
    for (size_t i = 0; i < password.len; i++) {
        if ((uint8_t)password.at[i] < ' ' || password.at[i] == 0x7f) {
            text_addf(error, "a password has no control characters");
            return false;
        }
    }
    return true;
}

static bool derive(struct span password, const struct recipe *recipe, uint8_t key[KEY])
{
    return EVP_PBE_scrypt(
               password.at, password.len, recipe->salt, SALT, UINT64_C(1) << recipe->cost,
               recipe->block, recipe->parallel, MEMORY, key, KEY) == 1;
}

/* Without the "=" at the end. */
static void add_base64(struct text *out, const uint8_t *bytes, int count)
{
    char array[BASE64(KEY)];
    int len = EVP_EncodeBlock((unsigned char *)array, bytes, count);

    while (len > 0 && array[len - 1] == '=') {
        len--;
    }
    text_add(out, (struct span){array, (size_t)len});
}

int password_hash(struct span password, char out[PASSWORD_HASH])
{
    struct recipe r = {.cost = COST, .block = BLOCK, .parallel = PARALLEL};
    struct text t;

    if (RAND_bytes(r.salt, SALT) != 1 || !derive(password, &r, r.key)) {
        return -1;
    }
    text_init(&t, out, PASSWORD_HASH);
    text_addf(
        &t, "$scrypt$ln=%" PRIu64 ",r=%" PRIu64 ",p=%" PRIu64 "$", r.cost, r.block, r.parallel);
    add_base64(&t, r.salt, SALT);
    text_addf(&t, "$");
    add_base64(&t, r.key, KEY);
    OPENSSL_cleanse(r.key, sizeof(r.key));
    return 0;
}

/* --- reading one --- */

/* What stands before `end`; `s` moves behind it. */
static bool cut(struct span *s, const char *before, char end, struct span *out)
{
    struct span start = span_of(before);
    const char *stop;

    if (s->len < start.len || memcmp(s->at, start.at, start.len) != 0) {
        return false;
    }
    *out = span_skip(*s, start.len);
    stop = end == '\0' || out->len == 0 ? NULL : memchr(out->at, end, out->len);
    if (stop != NULL) {
        out->len = (size_t)(stop - out->at);
        *s = span_skip(*s, start.len + out->len + 1);
    }
    return stop != NULL || end == '\0';
}

static bool decode(struct span s, uint8_t *bytes, size_t count)
{
    char padded[BASE64(KEY)];
    uint8_t decoded[KEY + 3];
    size_t len = BASE64(count) - 1;

    if (s.len > len || s.len + 2 < len || memchr(s.at, '=', s.len) != NULL) {
        return false;
    }
    memset(padded, '=', len);
    memcpy(padded, s.at, s.len);
    if (EVP_DecodeBlock(decoded, (const unsigned char *)padded, (int)len) < (int)count) {
        return false;
    }
    memcpy(bytes, decoded, count);
    return true;
}

static bool parse(struct span hash, struct recipe *out)
{
    struct span cost, block, parallel, salt, key;

    return cut(&hash, "$scrypt$ln=", ',', &cost) && cut(&hash, "r=", ',', &block) &&
           cut(&hash, "p=", '$', &parallel) && cut(&hash, "", '$', &salt) &&
           cut(&hash, "", '\0', &key) && span_number(cost, COST_MOST, &out->cost) &&
           out->cost > 0 && span_number(block, PASS_MOST, &out->block) && out->block > 0 &&
           span_number(parallel, PASS_MOST, &out->parallel) && out->parallel > 0 &&
           decode(salt, out->salt, SALT) && decode(key, out->key, KEY);
}

bool password_fits(struct span password, struct span hash)
{
    /* For nobody: the work is done all the same, so that time does not tell who exists. */
    struct recipe r = {.cost = COST, .block = BLOCK, .parallel = PARALLEL};
    uint8_t key[KEY];
    bool somebody = parse(hash, &r);
    bool derived;
    int differs;

    if (!somebody) {
        r = (struct recipe){.cost = COST, .block = BLOCK, .parallel = PARALLEL};
    }
    derived = derive(password, &r, key);
    differs = CRYPTO_memcmp(key, r.key, KEY);
    OPENSSL_cleanse(key, sizeof(key));
    return somebody && derived && differs == 0;
}
