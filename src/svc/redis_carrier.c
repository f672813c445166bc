#include "svc/redis_carrier.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE   16384
#define READ_ROUNDS 16 /* others on the loop want their turn too */

static void lose(struct redis_carrier *c, const char *why)
{
    c->events->lost(c->context, why);
}

/* --- sending --- */

/* What goes to the socket. NULL: given up. */
static struct buf *seal(struct redis_carrier *c)
{
    bool taken = false;

    if (!c->tls) {
        return &c->out;
    }
    if (tls_client_write(c->tls, buf_span(&c->out), &taken) != 0) {
        lose(c, tls_client_fault(c->tls));
        return NULL;
    }
    if (taken) {
        buf_clear(&c->out);
    }
    if (tls_client_take(c->tls, &c->sealed) != 0) {
        lose(c, "out of memory");
        return NULL;
    }
    return &c->sealed;
}

static void send_out(struct redis_carrier *c)
{
    struct buf *b = seal(c);

    while (b && buf_len(b) > 0) {
        struct span s = buf_span(b);
        ssize_t n = send(c->fd, s.at, s.len, MSG_NOSIGNAL);
        if (n > 0) {
            buf_consume(b, (size_t)n);
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(&c->writable, NULL);
            return;
        } else if (n == 0 || errno != EINTR) {
            lose(c, strerror(errno));
            return;
        }
    }
}

static void on_flush(evutil_socket_t fd, short what, void *context)
{
    struct redis_carrier *c = context;

    (void)fd;
    (void)what;
    c->leaving = false;
    if (c->connected && !event_pending(&c->writable, EV_WRITE, NULL)) {
        send_out(c);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    struct redis_carrier *c = context;
    int error = 0;
    socklen_t len = sizeof error;

    (void)what;
    if (!c->connected) {
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
            lose(c, strerror(error ? error : errno));
            return;
        }
        c->connected = true;
        if (event_add(&c->readable, NULL) != 0) {
            lose(c, "out of memory");
            return;
        }
    }
    send_out(c);
}

/* --- receiving --- */

/* False: the carrier was closed. */
static bool open_sealed(struct redis_carrier *c, struct span bytes)
{
    char plain[READ_SIZE];
    ssize_t n;

    if (tls_client_feed(c->tls, bytes) != 0) {
        /* The server is told why, where TLS has a word for it. */
        if (tls_client_take(c->tls, &c->sealed) == 0) {
            struct span s = buf_span(&c->sealed);
            (void)!send(c->fd, s.at, s.len, MSG_NOSIGNAL);
        }
        lose(c, tls_client_fault(c->tls));
        return false;
    }
    while ((n = tls_client_read(c->tls, plain, sizeof plain)) > 0) {
        if (!c->events->bytes(c->context, (struct span){plain, (size_t)n})) {
            return false;
        }
    }
    if (n < 0) {
        lose(c, tls_client_fault(c->tls));
        return false;
    }
    /* The handshake's next step, and the commands that waited for it. */
    redis_carrier_send(c);
    return true;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct redis_carrier *c = context;
    char bytes[READ_SIZE];

    (void)what;
    for (int i = 0; i < READ_ROUNDS; i++) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            lose(c, n == 0 ? "closed the connection" : strerror(errno));
            return;
        }
        struct span s = {bytes, (size_t)n};
        bool open = c->tls ? open_sealed(c, s) : c->events->bytes(c->context, s);
        if (!open || (size_t)n < sizeof bytes) {
            return;
        }
    }
}

/* --- outside --- */

void redis_carrier_init(
    struct redis_carrier *c, struct event_base *base, const struct redis_carrier_events *events,
    void *context)
{
    *c = (struct redis_carrier){.events = events, .context = context, .fd = -1};
    event_assign(&c->flush, base, -1, 0, on_flush, c);
}

int redis_carrier_open(
    struct redis_carrier *c, int fd, struct tls_client_context *tls, const char *name)
{
    struct event_base *base = event_get_base(&c->flush);

    c->fd = fd;
    event_assign(&c->readable, base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, base, fd, EV_WRITE, on_writable, c);
    if (tls) {
        c->tls = tls_client_new(tls, name);
    }
    if ((tls && !c->tls) || event_add(&c->writable, NULL) != 0) {
        redis_carrier_close(c);
        return -1;
    }
    return 0;
}

void redis_carrier_close(struct redis_carrier *c)
{
    if (c->fd >= 0) {
        event_del(&c->readable);
        event_del(&c->writable);
        close(c->fd);
        c->fd = -1;
    }
    event_del(&c->flush);
    c->leaving = false;
    c->connected = false;
    tls_client_free(c->tls);
    c->tls = NULL;
    buf_clear(&c->out);
    buf_clear(&c->sealed);
}

struct buf *redis_carrier_out(struct redis_carrier *c)
{
    return &c->out;
}

void redis_carrier_send(struct redis_carrier *c)
{
    /* Runs behind the events of this turn of the loop, whose commands then leave together. */
    if (!c->leaving) {
        c->leaving = true;
        event_active(&c->flush, EV_TIMEOUT, 1);
    }
}

void redis_carrier_send_later(struct redis_carrier *c)
{
    static const struct timeval later = {.tv_usec = REDIS_TELL_MS * 1000};

    if (!c->leaving && !event_pending(&c->flush, EV_TIMEOUT, NULL)) {
        event_add(&c->flush, &later);
    }
}

size_t redis_carrier_waiting(const struct redis_carrier *c)
{
    return buf_len(&c->out) + buf_len(&c->sealed);
}
