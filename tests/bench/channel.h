/* A socket that does not block, in clear or with TLS within. */
#ifndef GATE25_BENCH_CHANNEL_H
#define GATE25_BENCH_CHANNEL_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct channel {
    int fd;
    SSL *tls; /* NULL: in clear */
};

/* A server's context, or NULL, with OpenSSL's reasons on stderr. */
SSL_CTX *channel_server_tls(const char *certificate, const char *key);

/* A client's context. It checks no certificate: it makes load, and keeps no secrets. */
SSL_CTX *channel_client_tls(void);

/* Begins TLS on what was in clear. False: out of memory. */
bool channel_start_tls(struct channel *c, SSL_CTX *context, bool is_server);

/* 0 when the handshake is done, -EAGAIN while it waits for the other end, or -errno. */
int channel_handshake(struct channel *c);

/* Bytes moved, or -errno, -EAGAIN among them; a read gives 0 at the other's end. */
ssize_t channel_read(struct channel *c, void *to, size_t size);
ssize_t channel_write(struct channel *c, const void *from, size_t length);

/* True when a read of `size` bytes that gave `got` has left nothing, so that the next would be in
 * vain. */
static inline bool channel_is_drained(const struct channel *c, ssize_t got, size_t size)
{
    /* TLS gives a record at a time, whatever else is there. */
    return !c->tls && got < (ssize_t)size;
}

void channel_close(struct channel *c);

#endif
