#include "web/token.h"

#include <stdlib.h>

#include "base/log.h"
#include "net/tls.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void write_text(const uint8_t bytes[TLS_DIGEST], char out[TOKEN_TEXT])
{
    for (size_t i = 0; i < TOKEN_TEXT - 1; i++) {
        size_t bit = i * 6, byte = bit / 8;
        unsigned two = (unsigned)bytes[byte] << 8 | (byte + 1 < TLS_DIGEST ? bytes[byte + 1] : 0);

        out[i] = digits[two >> (10 - bit % 8) & 63];
    }
    out[TOKEN_TEXT - 1] = '\0';
}

static void finish(int result, const uint8_t bytes[TLS_DIGEST], char out[TOKEN_TEXT])
{
    if (result != 0) {
        log_error("no randomness or no memory: cannot make secrets");
        abort();
    }
    write_text(bytes, out);
}

void token_random(char out[TOKEN_TEXT])
{
    uint8_t bytes[TLS_DIGEST] = {0};

    finish(tls_random(bytes, sizeof(bytes)), bytes, out);
}

void token_hash(struct span token, char out[TOKEN_TEXT])
{
    uint8_t bytes[TLS_DIGEST] = {0};

    finish(tls_sha256(token, bytes), bytes, out);
}

void token_mac(struct span key, struct span text, char out[TOKEN_TEXT])
{
    uint8_t bytes[TLS_DIGEST] = {0};

    finish(tls_hmac(key, text, bytes), bytes, out);
}

bool token_is(struct span s)
{
    if (s.len != TOKEN_TEXT - 1) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        bool good = false;

        for (size_t j = 0; j < sizeof(digits) - 1 && !good; j++) {
            good = s.at[i] == digits[j];
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

bool token_equal(struct span a, struct span b)
{
    return tls_equal(a, b);
}
