#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "net/tls.h"

int tls_random(void *out, size_t len)
{
    return RAND_bytes(out, (int)len) == 1 ? 0 : -1;
}

int tls_sha256(struct span data, uint8_t out[TLS_DIGEST])
{
    return EVP_Digest(data.at, data.len, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -1;
}

int tls_hmac(struct span key, struct span data, uint8_t out[TLS_DIGEST])
{
    unsigned len = 0;

    return HMAC(
               EVP_sha256(), key.at, (int)key.len, (const unsigned char *)data.at, data.len, out,
               &len) != NULL &&
                   len == TLS_DIGEST
               ? 0
               : -1;
}

bool tls_equal(struct span a, struct span b)
{
    return a.len == b.len && CRYPTO_memcmp(a.at, b.at, a.len) == 0;
}
