#include "net/tls.h"

#include <errno.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct tls_server {
    SSL_CTX *context;
};

static void explain(struct text *error, const char *what, const char *file)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (access(file, R_OK) != 0) {
        reason = strerror(errno);
    }
    text_addf(error, "%s %s cannot be used: %s", what, file, reason ? reason : "out of memory");
    ERR_clear_error();
}

static bool load(SSL_CTX *c, const char *certificate, const char *key, struct text *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(c, certificate) != 1) {
        explain(error, "certificate", certificate);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(c) != 1) {
        explain(error, "key", key);
        return false;
    }
    return true;
}

struct tls_server *tls_server_new(const char *certificate, const char *key, struct text *error)
{
    struct tls_server *t = calloc(1, sizeof(*t));

    if (t) {
        t->context = SSL_CTX_new(TLS_server_method());
    }
    if (!t || !t->context) {
        text_addf(error, "out of memory");
        tls_server_free(t);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
    /* A browser that just closes is no error. */
    SSL_CTX_set_options(
        t->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
                        SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS);
    if (!load(t->context, certificate, key, error)) {
        tls_server_free(t);
        return NULL;
    }
    return t;
}

void tls_server_free(struct tls_server *t)
{
    if (t) {
        SSL_CTX_free(t->context);
        free(t);
    }
}

struct bufferevent *tls_server_stream(const struct tls_server *t, struct event_base *base)
{
    SSL *ssl = SSL_new(t->context);
    struct bufferevent *stream;

    if (!ssl) {
        return NULL;
    }
    stream = bufferevent_openssl_socket_new(
        base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!stream) {
        SSL_free(ssl);
        return NULL;
    }
    bufferevent_openssl_set_allow_dirty_shutdown(stream, 1);
    return stream;
}
