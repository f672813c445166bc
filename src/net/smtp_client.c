/* A thread for each delivery: libcurl's multi interface waits for the reply to the end of data, and
 * for that to QUIT, within the call (smtp_done() in its source), and a smarthost may take minutes
 * for them. The loop would stand still as long. */
#include "net/smtp_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/thread.h"

#define URL 1024

struct delivery {
    LIST_ENTRY(delivery) next;
    struct smtp_client *client;
    pthread_t thread;
    smtp_done_cb done;
    void *context;
    /* The thread's own until it has told its end. */
    CURL *curl;
    struct curl_slist *to;
    size_t len, sent;
    enum smtp_result result;
    char why[CURL_ERROR_SIZE];
    char message[];
};

struct smtp_client {
    struct event ended;
    int pipe[2]; /* threads write there which delivery has ended */
    char url[URL];
    enum smtp_tls tls;
    uint32_t deadline_ms;
    atomic_bool stop;
    LIST_HEAD(deliveries, delivery) deliveries;
};

static enum smtp_result result_of(CURL *curl, CURLcode code)
{
    long reply = 0;

    if (code == CURLE_OK) {
        return SMTP_SENT;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &reply);
    /* This is how a refused MAIL or RCPT is told; a 5yz in place of the greeting, or to AUTH, is
     * not about this mail. */
    return code == CURLE_SEND_ERROR && reply >= 500 && reply < 600 ? SMTP_REFUSED : SMTP_LATER;
}

static void *deliver(void *context)
{
    struct delivery *d = context;
    CURLcode code = curl_easy_perform(d->curl);
    ssize_t n;

    d->result = result_of(d->curl, code);
    if (code != CURLE_OK && !d->why[0]) {
        snprintf(d->why, sizeof(d->why), "%s", curl_easy_strerror(code));
    }
    curl_easy_cleanup(d->curl); /* says QUIT, and waits for its reply */
    do {
        n = write(d->client->pipe[1], &d, sizeof(void *));
    } while (n < 0 && errno == EINTR);
    return NULL;
}

static void delivery_free(struct delivery *d)
{
    pthread_join(d->thread, NULL);
    LIST_REMOVE(d, next);
    curl_slist_free_all(d->to);
    free(d);
}

static void on_ended(evutil_socket_t fd, short what, void *context)
{
    struct delivery *d;

    (void)what, (void)context;
    /* One a call: `done` may be the end of the client. What is left makes the event come again. */
    if (read(fd, &d, sizeof(void *)) == (ssize_t)sizeof(void *)) {
        char why[CURL_ERROR_SIZE];
        enum smtp_result result = d->result;
        smtp_done_cb done = d->done;
        void *waiting = d->context;
        memcpy(why, d->why, sizeof(why));
        delivery_free(d);
        done(waiting, result, span_of(result == SMTP_SENT ? "" : why));
    }
}

static size_t give(char *out, size_t size, size_t count, void *context)
{
    struct delivery *d = context;
    size_t n = d->len - d->sent < size * count ? d->len - d->sent : size * count;

    memcpy(out, d->message + d->sent, n);
    d->sent += n;
    return n;
}

/* libcurl asks it about once a second: 1 ends the delivery. */
static int goes_on(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct smtp_client *client = context;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(&client->stop);
}

static int set_options(struct smtp_client *c, struct delivery *d, const char *from)
{
    bool sure = c->tls == SMTP_TLS_REQUIRE;
    long ssl = c->tls == SMTP_TLS_OFF ? CURLUSESSL_NONE : sure ? CURLUSESSL_ALL : CURLUSESSL_TRY;
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_NOPROGRESS, 0},
        {CURLOPT_UPLOAD, 1},
        {CURLOPT_INFILESIZE, (long)d->len},
        {CURLOPT_TIMEOUT_MS, (long)c->deadline_ms},
        {CURLOPT_USE_SSL, ssl},
        {CURLOPT_SSL_VERIFYPEER, sure},
        {CURLOPT_SSL_VERIFYHOST, sure ? 2 : 0},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    };
    const struct {
        CURLoption option;
        const void *value;
    } texts[] = {
        {CURLOPT_PROTOCOLS_STR, "smtp,smtps"},
        {CURLOPT_PROXY, ""},
        {CURLOPT_URL, c->url},
        {CURLOPT_MAIL_FROM, from},
        {CURLOPT_MAIL_RCPT, d->to},
        {CURLOPT_READDATA, d},
        {CURLOPT_XFERINFODATA, c},
        {CURLOPT_ERRORBUFFER, d->why},
    };
    int failed = 0;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        failed |= curl_easy_setopt(d->curl, numbers[i].option, numbers[i].value) != CURLE_OK;
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        failed |= curl_easy_setopt(d->curl, texts[i].option, texts[i].value) != CURLE_OK;
    }
    failed |= curl_easy_setopt(d->curl, CURLOPT_READFUNCTION, give) != CURLE_OK;
    failed |= curl_easy_setopt(d->curl, CURLOPT_XFERINFOFUNCTION, goes_on) != CURLE_OK;
    return failed ? -1 : 0;
}

int smtp_client_send(
    struct smtp_client *c, const char *from, const char *to, struct span message, smtp_done_cb done,
    void *context)
{
    struct delivery *d = calloc(1, sizeof(*d) + message.len);

    if (!d) {
        return -1;
    }
    d->client = c;
    d->done = done;
    d->context = context;
    d->len = message.len;
    memcpy(d->message, message.at, message.len);
    d->to = curl_slist_append(NULL, to);
    d->curl = curl_easy_init();
    if (!d->to || !d->curl || set_options(c, d, from) < 0 ||
        thread_start(&d->thread, deliver, d) != 0) {
        curl_easy_cleanup(d->curl); /* NULL is fine */
        curl_slist_free_all(d->to);
        free(d);
        return -1;
    }
    LIST_INSERT_HEAD(&c->deliveries, d, next);
    return 0;
}

struct smtp_client *smtp_client_new(struct event_base *base, const struct smtp_host *host)
{
    struct smtp_client *c = calloc(1, sizeof(*c));

    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        free(c);
        return NULL;
    }
    c->tls = strncasecmp(host->url, "smtps:", 6) == 0 ? SMTP_TLS_REQUIRE : host->tls;
    c->deadline_ms = host->deadline_ms;
    LIST_INIT(&c->deliveries);
    /* The path of such a URL is the name for EHLO. */
    int len = snprintf(c->url, sizeof(c->url), "%s/%s", host->url, host->helo);
    if (len < 0 || (size_t)len >= sizeof(c->url) ||
        event_assign(&c->ended, base, c->pipe[0], EV_READ | EV_PERSIST, on_ended, c) < 0 ||
        event_add(&c->ended, NULL) < 0) {
        close(c->pipe[0]);
        close(c->pipe[1]);
        free(c);
        return NULL;
    }
    return c;
}

void smtp_client_free(struct smtp_client *c)
{
    if (!c) {
        return;
    }
    atomic_store(&c->stop, true);
    for (struct delivery *d = LIST_FIRST(&c->deliveries), *after; d; d = after) {
        after = LIST_NEXT(d, next);
        delivery_free(d);
    }
    event_del(&c->ended);
    close(c->pipe[0]);
    close(c->pipe[1]);
    explicit_bzero(c->url, sizeof(c->url));
    free(c);
}
