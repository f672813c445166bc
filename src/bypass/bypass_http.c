/* The pages at bypass.listen. */
#include <stdlib.h>

#include "bypass_internal.h"
#include "net/http_server.h"

#define HEADER_BYTES 8192
#define CONNECTIONS  64
#define EACH         16
#define DEADLINE_MS  10000
#define PLAIN        "text/plain; charset=utf-8"
#define PAGE         "text/plain; version=0.0.4; charset=utf-8"

struct bypass_http {
    struct http_server *server;
    const struct bypass *bypass;
};

static void answer(struct http_exchange *x, int status, const char *type, struct span body)
{
    const struct http_header headers[] = {{"Content-Type", type}, {"Cache-Control", "no-store"}};

    http_answer(x, status, headers, sizeof(headers) / sizeof(headers[0]), body);
}

static void answer_metrics(const struct bypass *b, struct http_exchange *x)
{
    struct buf page = BUF_INIT;

    if (bypass_page_write(b, &page) < 0) {
        answer(x, 503, PLAIN, SPAN_LITERAL("out of memory\n"));
    } else {
        answer(x, 200, PAGE, buf_span(&page));
    }
    buf_clear(&page);
}

static void answer_health(const struct bypass *b, struct http_exchange *x)
{
    char line[BYPASS_ERROR * 2 + 32], why[BYPASS_ERROR * 2];
    struct text body, reasons;
    bool well;

    text_init(&body, line, sizeof(line));
    text_init(&reasons, why, sizeof(why));
    well = bypass_is_well(b, &reasons);
    text_addf(&body, well ? "good\n" : "impaired: %s\n", why);
    answer(x, b->stands ? 200 : 503, PLAIN, text_span(&body));
}

static void on_request(void *context, struct http_exchange *x)
{
    static const struct {
        const char *path;
        void (*answer)(const struct bypass *b, struct http_exchange *x);
    } pages[] = {{"/metrics", answer_metrics}, {"/health", answer_health}};
    const struct bypass_http *h = context;

    if (http_method(x) == HTTP_POST) {
        answer(x, 405, PLAIN, SPAN_LITERAL("GET and HEAD are allowed\n"));
        return;
    }
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (span_equal(http_path(x), span_of(pages[i].path))) {
            pages[i].answer(h->bypass, x);
            return;
        }
    }
    answer(x, 404, PLAIN, SPAN_LITERAL("there are /metrics and /health\n"));
}

struct bypass_http *bypass_http_new(
    struct event_base *base, const struct conf *conf, const struct bypass *b, struct text *error)
{
    struct bypass_http *h = calloc(1, sizeof(*h));
    const struct http_options options = {
        .request = on_request,
        .context = h,
        .header_bytes = HEADER_BYTES,
        .connections = CONNECTIONS,
        .connections_each = EACH,
        .replace_idle = true,
        .deadline_ms = DEADLINE_MS,
    };

    if (h != NULL) {
        h->bypass = b;
        h->server = http_server_new(base, &options);
    }
    if (h == NULL || h->server == NULL) {
        text_addf(error, "out of memory");
        bypass_http_free(h);
        return NULL;
    }
    for (size_t i = 0; i < conf->bypass.listen.count; i++) {
        if (http_server_listen(h->server, &conf->bypass.listen.at[i], NULL, 0, error) < 0) {
            bypass_http_free(h);
            return NULL;
        }
    }
    return h;
}

void bypass_http_free(struct bypass_http *h)
{
    if (h != NULL && h->server != NULL) {
        http_server_free(h->server);
    }
    free(h);
}
