#include "bench/channel.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static void set_up(SSL_CTX *context)
{
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_mode(
        context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                     SSL_MODE_RELEASE_BUFFERS);
    /* Who leaves without close_notify has only ended the connection. */
    SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

SSL_CTX *channel_server_tls(const char *certificate, const char *key)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());

    if (context && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1) {
        set_up(context);
        /* Each session shakes hands in full: nothing to remember. */
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
        return context;
    }
    ERR_print_errors_fp(stderr);
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *channel_client_tls(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    if (context) {
        set_up(context);
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    }
    return context;
}

bool channel_start_tls(struct channel *c, SSL_CTX *context, bool is_server)
{
    c->tls = SSL_new(context);
    if (!c->tls || SSL_set_fd(c->tls, c->fd) != 1) {
        return false;
    }
    if (is_server) {
        SSL_set_accept_state(c->tls);
    } else {
        SSL_set_connect_state(c->tls);
    }
    return true;
}

/* -errno for what an operation of OpenSSL's has returned, which was no success. */
static int reason(const struct channel *c, int returned)
{
    int error = errno;

    switch (SSL_get_error(c->tls, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        return error ? -error : -ECONNRESET;
    default:
        return -EPROTO;
    }
}

int channel_handshake(struct channel *c)
{
    ERR_clear_error();
    int done = SSL_do_handshake(c->tls);
    if (done == 1) {
        return 0;
    }
    int why = reason(c, done);
    return why ? why : -ECONNRESET;
}

ssize_t channel_read(struct channel *c, void *to, size_t size)
{
    size_t got;

    if (!c->tls) {
        ssize_t n = recv(c->fd, to, size, 0);
        return n < 0 ? -errno : n;
    }
    ERR_clear_error();
    int done = SSL_read_ex(c->tls, to, size, &got);
    return done == 1 ? (ssize_t)got : reason(c, done);
}

ssize_t channel_write(struct channel *c, const void *from, size_t length)
{
    size_t put;

    if (!c->tls) {
        ssize_t n = send(c->fd, from, length, MSG_NOSIGNAL);
        return n < 0 ? -errno : n;
    }
    ERR_clear_error();
    int done = SSL_write_ex(c->tls, from, length, &put);
    return done == 1 ? (ssize_t)put : reason(c, done);
}

void channel_close(struct channel *c)
{
    SSL_free(c->tls);
    close(c->fd);
    *c = (struct channel){.fd = -1};
}
