/* TLS from the client's side, as a filter: bytes in, bytes out, no descriptor. Who owns the socket
 * carries the bytes. TLS 1.2 or newer; the server's certificate is always verified. */
#ifndef GATE25_NET_TLS_CLIENT_H
#define GATE25_NET_TLS_CLIENT_H

#include <sys/types.h>

#include "base/buf.h"

struct tls_client_files {
    const char *ca;          /* PEM file of those we trust; empty: the system's */
    const char *certificate; /* PEM file with our own certificate and its chain; empty: none */
    const char *key;         /* PEM file with its key; empty: it is in `certificate` */
};

struct tls_client_context; /* for many connections */
struct tls_client;         /* one */

/* Reads the files. NULL: `error` says what is wrong with which. */
struct tls_client_context *tls_client_context_new(
    const struct tls_client_files *files, struct text *error) __attribute__((warn_unused_result));
void tls_client_context_free(struct tls_client_context *c); /* NULL is fine */

/* `name`, a host name or an address, must stand in the server's certificate (subjectAltName; RFC
 * 6125, no partial wildcards). NULL: out of memory. */
struct tls_client *tls_client_new(struct tls_client_context *c, const char *name)
    __attribute__((warn_unused_result));
void tls_client_free(struct tls_client *t); /* NULL is fine */

/* Bytes from the server. -1: the connection is of no use any more, see tls_client_fault(). */
int tls_client_feed(struct tls_client *t, struct span bytes) __attribute__((warn_unused_result));
/* The next decrypted bytes, at most `cap`; 0: none yet, -1: as above, or the server has said
 * goodbye. */
ssize_t tls_client_read(struct tls_client *t, char *out, size_t cap)
    __attribute__((warn_unused_result));
/* Encrypts. Before the handshake is done, nothing is taken: *taken says so. -1: as above. */
int tls_client_write(struct tls_client *t, struct span bytes, bool *taken)
    __attribute__((warn_unused_result));
/* Appends what is to be sent to the server, the handshake's own bytes included. -1: no memory. */
int tls_client_take(struct tls_client *t, struct buf *out) __attribute__((warn_unused_result));
/* Why it failed, in words. */
const char *tls_client_fault(const struct tls_client *t);

#endif
