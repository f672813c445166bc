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
#include "ctl/control_socket.h"

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
    int before;       /* the socket of the process before this one, if it is at another path; -1 */
    pid_t maker;      /* a forked child leaves it alone */
    bool left;        /* it is another process' */
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

/* With `fd`, which it takes over. */
static struct control *new_on(
    struct event_base *base, const char *path, int fd, const struct control_verb *verbs,
    size_t count, void *context, struct text *error)
{
    struct control *c = calloc(1, sizeof(*c));
    struct stat made = {0};

    if (c == NULL || lstat(path, &made) != 0) {
        text_addf(error, "%s: %s", path, strerror(errno));
        close(fd);
        free(c);
        return NULL;
    }
    *c = (struct control){
        .base = base,
        .verbs = verbs,
        .verb_count = count,
        .context = context,
        .made = made,
        .before = -1,
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

struct control *control_new(
    struct event_base *base, const char *path, const struct control_verb *verbs, size_t count,
    void *context, struct text *error)
{
    int fd = control_socket_open(path, error);

    return fd < 0 ? NULL : new_on(base, path, fd, verbs, count, context, error);
}

/* --- from one process to the next --- */

struct control *control_adopt(
    struct event_base *base, const char *path, int fd, const struct control_verb *verbs,
    size_t count, void *context, struct text *error)
{
    struct sockaddr_un address;
    bool same = control_socket_path(fd, &address) && strcmp(address.sun_path, path) == 0;
    struct control *c = same ? new_on(base, path, fd, verbs, count, context, error)
                             : control_new(base, path, verbs, count, context, error);

    if (c != NULL) {
        c->before = same ? -1 : fd;
        c->left = same;
        evconnlistener_disable(c->listener);
    }
    return c;
}

/* The process before this one was ended meanwhile, and has removed its socket. */
static void renew_door(struct control *c)
{
    char why[256];
    struct text error;
    int fd;

    text_init(&error, why, sizeof(why));
    fd = control_socket_open(c->path, &error);
    if (fd < 0 || lstat(c->path, &c->made) != 0) {
        log_error("%s", fd < 0 ? why : c->path);
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    evconnlistener_free(c->listener);
    c->listener = evconnlistener_new(
        c->base, on_accept, c, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (c->listener == NULL) {
        close(fd);
        log_error("%s: out of memory", c->path);
        return;
    }
    evconnlistener_set_error_cb(c->listener, on_accept_error);
}

static bool is_there(const struct control *c)
{
    struct stat st;

    return lstat(c->path, &st) == 0 && st.st_dev == c->made.st_dev && st.st_ino == c->made.st_ino;
}

void control_begin(struct control *c)
{
    if (!is_there(c)) {
        renew_door(c);
    }
    c->left = false;
    if (c->before >= 0) {
        control_socket_remove(c->before);
        c->before = -1;
    }
    if (c->listener != NULL) {
        evconnlistener_enable(c->listener);
    }
}

int control_socket(const struct control *c)
{
    return c->listener != NULL ? evconnlistener_get_fd(c->listener) : -1;
}

static void close_listener(struct control *c)
{
    if (c->listener != NULL) {
        evconnlistener_free(c->listener);
        c->listener = NULL;
    }
}

void control_leave(struct control *c)
{
    c->left = true;
    close_listener(c);
}

static void close_door(struct control *c)
{
    if (c->path != NULL && !c->left && c->maker == getpid() && is_there(c)) {
        unlink(c->path);
    }
    close_listener(c);
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
    close_door(c);
    if (c->before >= 0) {
        close(c->before);
    }
    if (c->rest != NULL) {
        event_free(c->rest);
    }
    free(c->path);
    free(c);
}
