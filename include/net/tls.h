/* TLS for servers, and the few cryptographic functions the project needs. OpenSSL is named in
 * net/tls.c and net/tls_digest.c alone. */
#ifndef GATE25_NET_TLS_H
#define GATE25_NET_TLS_H

#include <event2/bufferevent.h>

#include "base/str.h"

struct tls_server;

/* TLS 1.2 and newer with that chain and key (PEM). NULL: `error` says which file, and why. */
struct tls_server *tls_server_new(const char *certificate, const char *key, struct text *error)
    __attribute__((warn_unused_result));
void tls_server_free(struct tls_server *t); /* streams made of it live on; NULL is fine */

/* The server's end of a connection, whose descriptor comes with bufferevent_setfd(); it closes it.
 * NULL: out of memory. */
struct bufferevent *tls_server_stream(const struct tls_server *t, struct event_base *base)
    __attribute__((warn_unused_result));

#define TLS_DIGEST 32 /* bytes of SHA-256 */

/* Random bytes for secrets. -1: there are none, and nothing secret can be made. */
int tls_random(void *out, size_t len) __attribute__((warn_unused_result));
/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104). -1: out of memory. */
int tls_sha256(struct span data, uint8_t out[TLS_DIGEST]) __attribute__((warn_unused_result));
int tls_hmac(struct span key, struct span data, uint8_t out[TLS_DIGEST])
    __attribute__((warn_unused_result));
/* Takes as long for equal as for different ones of one length. */
bool tls_equal(struct span a, struct span b);

#endif
