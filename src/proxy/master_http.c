/* The page for Prometheus and the one for load balancers, served by the master. */
#include "master_internal.h"
#include "net/http_server.h"

#define HTTP_HEADER_BYTES 8192
#define HTTP_CONNECTIONS  64
#define HTTP_EACH         16
#define HTTP_DEADLINE_MS  10000

#define PLAIN "text/plain; charset=utf-8"

static void answer(struct http_exchange *x, int status, const char *type, struct span body)
{
    const struct http_header headers[] = {{"Content-Type", type}, {"Cache-Control", "no-store"}};
    http_answer(x, status, headers, sizeof(headers) / sizeof(headers[0]), body);
}

static void answer_metrics(struct master *m, struct http_exchange *x)
{
    struct buf page = BUF_INIT;
    if (master_metrics(m, &page) < 0) {
        answer(x, 503, PLAIN, SPAN_LITERAL("out of memory\n"));
    } else {
        answer(x, 200, METRICS_PAGE_TYPE, buf_span(&page));
    }
    buf_clear(&page);
}

/* Load balancers look at the status alone: an impaired gate still serves. */
static void answer_health(struct master *m, struct http_exchange *x)
{
    char line[MASTER_ERROR], why[MASTER_ERROR];
    struct text body, reasons;
    text_init(&body, line, sizeof(line));
    text_init(&reasons, why, sizeof(why));
    enum health health = master_health(m, &reasons);
    text_addf(&body, "%s%s%s\n", health_name(health), reasons.len > 0 ? ": " : "", why);
    answer(x, health == HEALTH_BAD ? 503 : 200, PLAIN, text_span(&body));
}

static void on_request(void *context, struct http_exchange *x)
{
    static const struct {
        const char *path;
        void (*answer)(struct master *m, struct http_exchange *x);
    } pages[] = {{"/metrics", answer_metrics}, {"/health", answer_health}};
    if (http_method(x) == HTTP_POST) {
        answer(x, 405, PLAIN, SPAN_LITERAL("GET and HEAD are allowed\n"));
        return;
    }
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        if (span_equal(http_path(x), span_of(pages[i].path))) {
            pages[i].answer(context, x);
            return;
        }
    }
    answer(x, 404, PLAIN, SPAN_LITERAL("there are /metrics and /health\n"));
}

int master_http_open(struct master *m, struct text *error)
{
    if (m->boot->metrics.count == 0) {
        return 0;
    }
    const struct http_options options = {
        .request = on_request,
        .context = m,
        .header_bytes = HTTP_HEADER_BYTES,
        .connections = HTTP_CONNECTIONS,
        .connections_each = HTTP_EACH,
        .replace_idle = true,
        .deadline_ms = HTTP_DEADLINE_MS,
    };
    m->http = http_server_new(m->base, &options);
    if (!m->http) {
        text_addf(error, "out of memory");
        return -1;
    }
    http_server_hold(m->http, true);
    for (size_t i = 0; i < m->boot->metrics.count; i++) {
        const struct endpoint *at = &m->boot->metrics.at[i];
        int fd = inherited_take(&m->inherited, INHERITED_PAGES, at);
        int rc = fd >= 0 ? http_server_listen_on(m->http, fd, NULL, 0, error)
                         : http_server_listen(m->http, at, NULL, 0, error);
        if (rc < 0) {
            return -1;
        }
    }
    return 0;
}

size_t master_http_sockets(const struct master *m, int *out, size_t room)
{
    return m->http ? http_server_sockets(m->http, out, room) : 0;
}

void master_http_close(struct master *m)
{
    if (m->http) {
        http_server_free(m->http);
        m->http = NULL;
    }
}
