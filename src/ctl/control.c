#include "ctl/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

#define CLIENTS_MOST  32
#define CLIENT_MS     5000 /* from its connection until it has its answer */
#define REQUEST_MOST  1024
#define REST_MS       100 /* when descriptors or memory are short */
#define ANSWER_MEMORY "{\"error\": \"out of memory\"}"

struct client {
    TAILQ_ENTRY(client) next;
    struct control *control;
    struct bufferevent *stream;
    struct event *deadline;
    uint64_t ticket;
    bool asked, answered;
};

TAILQ_HEAD(clients, client);

struct control {
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *rest;
    const struct control_verb *verbs;
    size_t verb_count;
    void *context;
    char *path;
    struct stat made; /* the socket, so as to remove no other */
    pid_t maker;      /* a forked child leaves it alone */
    struct clients clients;
    size_t client_count;
    uint64_t tickets;
};

static struct timeval after(unsigned ms)
{
    return (struct timeval){ms / 1000, (suseconds_t)(ms % 1000) * 1000};
}

static void client_free(struct client *client)
{
    struct control *c = client->control;

    TAILQ_REMOVE(&c->clients, client, next);
    c->client_count--;
    if (client->stream != NULL) {
        bufferevent_free(client->stream);
    }
    if (client->deadline != NULL) {
        event_free(client->deadline);
    }
    free(client);
    if (c->listener != NULL) {
        evconnlistener_enable(c->listener);
    }
}

static void say_unknown(const struct control *c, struct evbuffer *out)
{
    const char *between = "";

    evbuffer_add_printf(out, "{\"error\": \"unknown verb; known are:");
    for (size_t i = 0; i < c->verb_count; i++) {
        evbuffer_add_printf(out, "%s %s", between, c->verbs[i].name);
        between = ",";
    }
    evbuffer_add_printf(out, "\"}\n");
}

static void answer_later(void *control, uint64_t ticket, const char *line)
{
    struct control *c = control;
    struct client *client = TAILQ_FIRST(&c->clients);

    while (client != NULL && client->ticket != ticket) {
        client = TAILQ_NEXT(client, next);
    }
    if (client != NULL && !client->answered) {
        client->answered = true;
        evbuffer_add_printf(bufferevent_get_output(client->stream), "%s\n", line);
    }
}

static void run_verb(struct client *client, const struct control_verb *verb)
{
    char *text = verb->run(client->control->context);

    client->answered = true;
    evbuffer_add_printf(
        bufferevent_get_output(client->stream), "%s\n", text != NULL ? text : ANSWER_MEMORY);
    free(text);
}

static void answer(struct client *client, const char *line)
{
    struct control *c = client->control;
    size_t len = strcspn(line, " ");

    client->asked = true;
    for (size_t i = 0; i < c->verb_count; i++) {
        const struct control_verb *verb = &c->verbs[i];

        if (strlen(verb->name) != len || memcmp(verb->name, line, len) != 0) {
            continue;
        }
        if (verb->begin != NULL) {
            if (verb->patience_ms > 0) {
                struct timeval patience = after(verb->patience_ms);
                evtimer_add(client->deadline, &patience);
            }
            verb->begin(
                c->context, line + len + (line[len] == ' '), answer_later, c, client->ticket);
            return;
        }
        if (line[len] == '\0') {
            run_verb(client, verb);
            return;
        }
    }
    client->answered = true;
    say_unknown(c, bufferevent_get_output(client->stream));
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct client *client = context;
    struct evbuffer *in = bufferevent_get_input(stream);
    char *line;

    if (client->asked) {
        evbuffer_drain(in, evbuffer_get_length(in));
        return;
    }
    line = evbuffer_readln(in, NULL, EVBUFFER_EOL_LF);
    if (line != NULL) {
        answer(client, line);
        free(line);
    } else if (evbuffer_get_length(in) >= REQUEST_MOST) {
        client_free(client);
    }
}

static void on_written(struct bufferevent *stream, void *context)
{
    struct client *client = context;

    (void)stream;
    if (client->answered) {
        client_free(client);
    }
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
    struct client *client = context;

    (void)stream;
    /* A client may close its sending side and still wait for the answer. */
    if ((what & BEV_EVENT_EOF) != 0 && client->asked) {
        return;
    }
    client_free(client);
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    client_free(context);
}

/* Whoever has asked nothing for longest makes room: an operator must not have to wait for him. */
static void drop_idle(struct control *c)
{
    struct client *client = TAILQ_FIRST(&c->clients);

    while (client != NULL && client->asked) {
        client = TAILQ_NEXT(client, next);
    }
    if (client != NULL) {
        client_free(client);
    }
}

static void on_accept(
    struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int len,
    void *context)
{
    struct control *c = context;
    struct client *client = calloc(1, sizeof(*client));
    struct timeval deadline = after(CLIENT_MS);

    (void)peer;
    (void)len;
    if (client == NULL) {
        close(fd);
        return;
    }
    client->control = c;
    client->ticket = ++c->tickets;
    if (c->client_count + 1 >= CLIENTS_MOST) {
        drop_idle(c);
    }
    TAILQ_INSERT_TAIL(&c->clients, client, next);
    if (++c->client_count >= CLIENTS_MOST) {
        evconnlistener_disable(listener);
    }
    client->deadline = evtimer_new(c->base, on_deadline, client);
    client->stream = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (client->stream == NULL) {
        close(fd);
    }
    if (client->stream == NULL || client->deadline == NULL) {
        client_free(client);
        return;
    }
    bufferevent_setwatermark(client->stream, EV_READ, 0, REQUEST_MOST);
    bufferevent_setcb(client->stream, on_read, on_written, on_event, client);
    bufferevent_enable(client->stream, EV_READ | EV_WRITE);
    evtimer_add(client->deadline, &deadline);
}

/* Without descriptors the listener would be called again and again for the same connection. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    struct control *c = context;
    struct timeval rest = after(REST_MS);

    evconnlistener_disable(listener);
    evtimer_add(c->rest, &rest);
}

static void on_rested(evutil_socket_t fd, short what, void *context)
{
    struct control *c = context;

    (void)fd;
    (void)what;
    if (c->listener != NULL && c->client_count < CLIENTS_MOST) {
        evconnlistener_enable(c->listener);
    }
}

/* --- the socket --- */

static bool address_of(const char *path, struct sockaddr_un *out, struct text *error)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(out->sun_path)) {
        text_addf(
            error, "%s: longer than the %zu bytes that a socket's path may have", path,
            sizeof(out->sun_path) - 1);
        return false;
    }
    memcpy(out->sun_path, path, strlen(path) + 1);
    return true;
}

/* Removes a socket that nobody listens to any more. */
static void remove_dead(const struct sockaddr_un *address)
{
    struct stat st;
    int fd;

    if (lstat(address->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return;
    }
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED) {
        unlink(address->sun_path);
    }
    close(fd);
}

static int open_socket(const char *path, struct stat *made, struct text *error)
{
    struct sockaddr_un address;
    mode_t mask;
    int fd, failed;

    if (!address_of(path, &address, error)) {
        return -1;
    }
    remove_dead(&address);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        mask = umask(0117);
        failed = bind(fd, (const struct sockaddr *)&address, sizeof(address));
        umask(mask);
        if (failed == 0 && listen(fd, CLIENTS_MOST) == 0 && lstat(path, made) == 0) {
            return fd;
        }
    }
    text_addf(error, "%s: %s", path, strerror(errno));
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

struct control *control_new(
    struct event_base *base, const char *path, const struct control_verb *verbs, size_t count,
    void *context, struct text *error)
{
    struct control *c = calloc(1, sizeof(*c));
    struct stat made = {0};
    int fd = c == NULL ? -1 : open_socket(path, &made, error);

    if (fd < 0) {
        free(c);
        return NULL;
    }
    *c = (struct control){
        .base = base,
        .verbs = verbs,
        .verb_count = count,
        .context = context,
        .made = made,
        .maker = getpid()};
    TAILQ_INIT(&c->clients);
    c->path = strdup(path);
    c->rest = evtimer_new(base, on_rested, c);
    c->listener = evconnlistener_new(
        base, on_accept, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (c->listener == NULL) {
        close(fd);
    }
    if (c->path == NULL || c->rest == NULL || c->listener == NULL) {
        text_addf(error, "%s: out of memory", path);
        control_free(c);
        return NULL;
    }
    evconnlistener_set_error_cb(c->listener, on_accept_error);
    return c;
}

void control_close_door(struct control *c)
{
    struct stat st;

    if (c->path != NULL && c->maker == getpid() && lstat(c->path, &st) == 0 &&
        st.st_dev == c->made.st_dev && st.st_ino == c->made.st_ino) {
        unlink(c->path);
    }
    if (c->listener != NULL) {
        evconnlistener_free(c->listener);
        c->listener = NULL;
    }
}

void control_free(struct control *c)
{
    struct client *client, *next;

    if (c == NULL) {
        return;
    }
    for (client = TAILQ_FIRST(&c->clients); client != NULL; client = next) {
        next = TAILQ_NEXT(client, next);
        client_free(client);
    }
    control_close_door(c);
    if (c->rest != NULL) {
        event_free(c->rest);
    }
    free(c->path);
    free(c);
}
