#include "net/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAULT 200
#define NAME  256

struct tls_client {
    SSL *ssl;
    BIO *in, *out; /* the SSL owns them */
    char fault[FAULT];
};

static SSL_CTX *inner(struct tls_client_context *c)
{
    return (SSL_CTX *)c;
}

/* --- files --- */

static void add_reason(struct text *error)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    text_addf(error, "%s", reason ? reason : "not in PEM form");
    ERR_clear_error();
}

static bool use_files(SSL_CTX *ssl, const struct tls_client_files *files, struct text *error)
{
    const char *key = files->key[0] ? files->key : files->certificate;

    if (files->ca[0] ? SSL_CTX_load_verify_file(ssl, files->ca) != 1
                     : SSL_CTX_set_default_verify_paths(ssl) != 1) {
        text_addf(error, "%s: ", files->ca[0] ? files->ca : "the system's certificates");
        add_reason(error);
        return false;
    }
    if (!files->certificate[0]) {
        return true;
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, files->certificate) != 1) {
        text_addf(error, "%s: ", files->certificate);
        add_reason(error);
        return false;
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ssl) != 1) {
        text_addf(error, "%s: ", key);
        add_reason(error);
        return false;
    }
    return true;
}

struct tls_client_context *tls_client_context_new(
    const struct tls_client_files *files, struct text *error)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());

    ERR_clear_error();
    if (!ssl) {
        text_addf(error, "TLS cannot be used: out of memory");
        return NULL;
    }
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    /* A server that hangs up without a goodbye has hung up, no more. */
    SSL_CTX_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    if (!use_files(ssl, files, error)) {
        SSL_CTX_free(ssl);
        return NULL;
    }
    return (struct tls_client_context *)ssl;
}

void tls_client_context_free(struct tls_client_context *c)
{
    SSL_CTX_free(inner(c));
}

/* --- one connection --- */

static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    unsigned char address[sizeof(struct in6_addr)];
    char indication[NAME]; /* OpenSSL's macro takes it for something that it might write to */

    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    }
    snprintf(indication, sizeof indication, "%s", name);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, indication) == 1;
}

struct tls_client *tls_client_new(struct tls_client_context *c, const char *name)
{
    struct tls_client *t = calloc(1, sizeof *t);

    if (!t) {
        return NULL;
    }
    t->ssl = SSL_new(inner(c));
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_connect_state(t->ssl);
    if (!expect_name(t->ssl, name)) {
        tls_client_free(t);
        return NULL;
    }
    return t;
}

void tls_client_free(struct tls_client *t)
{
    if (t) {
        SSL_free(t->ssl);
        free(t);
    }
}

static void set_fault(struct tls_client *t)
{
    long verified = SSL_get_verify_result(t->ssl);
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    if (verified != X509_V_OK) {
        snprintf(
            t->fault, sizeof t->fault, "TLS: its certificate is not accepted: %s",
            X509_verify_cert_error_string(verified));
    } else {
        snprintf(t->fault, sizeof t->fault, "TLS: %s", reason ? reason : "closed the connection");
    }
    ERR_clear_error();
}

/* What an operation's result means: 1 go on, 0 not now, -1 the end. */
static int judge(struct tls_client *t, int result)
{
    int error = SSL_get_error(t->ssl, result);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    set_fault(t);
    return -1;
}

static int shake_hands(struct tls_client *t)
{
    ERR_clear_error();
    int result = SSL_do_handshake(t->ssl);
    return result == 1 ? 1 : judge(t, result);
}

int tls_client_feed(struct tls_client *t, struct span bytes)
{
    if (BIO_write(t->in, bytes.at, (int)bytes.len) != (int)bytes.len) {
        snprintf(t->fault, sizeof t->fault, "out of memory");
        return -1;
    }
    return shake_hands(t) < 0 ? -1 : 0;
}

ssize_t tls_client_read(struct tls_client *t, char *out, size_t cap)
{
    size_t n = 0;

    ERR_clear_error();
    int result = SSL_read_ex(t->ssl, out, cap, &n);
    return result == 1 ? (ssize_t)n : judge(t, result);
}

int tls_client_write(struct tls_client *t, struct span bytes, bool *taken)
{
    int ready = shake_hands(t);
    size_t n = 0;

    *taken = false;
    if (ready <= 0 || bytes.len == 0) {
        return ready < 0 ? -1 : 0;
    }
    ERR_clear_error();
    int result = SSL_write_ex(t->ssl, bytes.at, bytes.len, &n);
    if (result != 1) {
        return judge(t, result);
    }
    *taken = true;
    return 0;
}

int tls_client_take(struct tls_client *t, struct buf *out)
{
    size_t waiting = BIO_ctrl_pending(t->out);

    if (waiting == 0) {
        return 0;
    }
    char *room = buf_reserve(out, waiting);
    int n = room ? BIO_read(t->out, room, (int)waiting) : -1;
    if (n <= 0) {
        return -1;
    }
    buf_grow(out, (size_t)n);
    return 0;
}

const char *tls_client_fault(const struct tls_client *t)
{
    return t->fault[0] ? t->fault : "closed the connection";
}
