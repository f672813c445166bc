#include "bench/load_session.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/machine.h"

static const struct text nothing;

static void end_pause(struct load *load, struct session *s)
{
    if (s->pauses_until_ns != 0) {
        TAILQ_REMOVE(&load->pausing, s, pausing);
        s->pauses_until_ns = 0;
    }
}

static void end(struct load *load, struct session *s)
{
    end_pause(load, s);
    load->arriving -= s->is_arriving;
    load->holding -= s->place == PLACE_HOLD;
    channel_close(&s->channel);
}

static bool fail(struct load *load, struct session *s, int failure)
{
    tally_failure(&load->tally, &load->tally.failed[s->place][failure < FAILURES ? failure : EIO]);
    end(load, s);
    return false;
}

static bool complete(struct load *load, struct session *s, int64_t now_ns)
{
    tally_count(&load->tally, &load->tally.sessions);
    tally_time(&load->tally, &load->tally.session, now_ns - s->began_ns);
    end(load, s);
    return false;
}

/* The connection has ended, by `failure`. Who has refused a session need not wait for its QUIT. */
static bool lose(struct load *load, struct session *s, int failure, int64_t now_ns)
{
    return s->is_refused ? complete(load, s, now_ns) : fail(load, s, failure);
}

/* Writes what there is as far as the socket takes it. 0, or -errno. */
static int write_out(struct session *s)
{
    while (s->unsent.length > 0) {
        int64_t now_ns = machine_now_ns();
        ssize_t put = channel_write(&s->channel, s->unsent.at, s->unsent.length);
        if (put == -EAGAIN) {
            return 0;
        }
        if (put <= 0) {
            return put ? (int)put : -ECONNRESET;
        }
        s->unsent.at += put;
        s->unsent.length -= (size_t)put;
        s->said_ns = s->moved_ns = now_ns;
    }
    return 0;
}

/* What is said when the reply of `place` is waited for next; nothing where it was said before, with
 * something else. */
static struct text words(const struct load *load, struct session *s, enum place place)
{
    const struct script *script = &load->script;
    uint32_t recipients = load->options->recipients;
    bool pipelined = load->options->pipelined;

    switch (place) {
    case PLACE_EHLO:
        return script_ehlo;
    case PLACE_STARTTLS:
        return script_starttls;
    case PLACE_MAIL:
        if (pipelined) {
            return s->messages == load->options->messages ? script->envelope : nothing;
        }
        return script->command[0];
    case PLACE_RCPT:
        return pipelined ? nothing : script->command[1 + recipients - s->recipients];
    case PLACE_DATA:
        return pipelined ? nothing : script->command[1 + recipients];
    case PLACE_MESSAGE:
        s->has_quit = pipelined && s->is_last;
        return !pipelined   ? script->message
               : s->is_last ? script->message_quit
                            : script->message_more;
    case PLACE_QUIT:
        return s->has_quit ? nothing : script_quit;
    default:
        return nothing;
    }
}

static bool say(struct load *load, struct session *s)
{
    int failure = write_out(s);

    return failure == 0 || lose(load, s, -failure, machine_now_ns());
}

/* Goes to `place`. False: the session is over. */
static bool go(struct load *load, struct session *s, enum place place)
{
    struct text text = words(load, s, place);

    end_pause(load, s); /* a server that says something unasked is answered anew */
    s->place = place;
    if (text.length == 0) {
        return true;
    }
    s->unsent = text;
    if (load->options->pause_ns > 0) {
        s->pauses_until_ns = machine_now_ns() + load->options->pause_ns;
        TAILQ_INSERT_TAIL(&load->pausing, s, pausing);
        return true;
    }
    return say(load, s);
}

static bool begin_mail(struct load *load, struct session *s)
{
    s->recipients = load->options->recipients;
    return go(load, s, PLACE_MAIL);
}

static bool after_ehlo(struct load *load, struct session *s)
{
    const struct load_options *options = load->options;

    if (options->starttls && !s->channel.tls) {
        return go(load, s, PLACE_STARTTLS);
    }
    load->arriving -= s->is_arriving;
    s->is_arriving = false;
    if (options->hold) {
        load->holding++;
        return go(load, s, PLACE_HOLD);
    }
    return begin_mail(load, s);
}

/* What follows a reply, good or not, to what has been said alone or at the end of a group. */
static bool after_envelope(struct load *load, struct session *s, bool is_good)
{
    switch (s->place) {
    case PLACE_MAIL:
        return go(load, s, PLACE_RCPT);
    case PLACE_RCPT:
        return go(load, s, --s->recipients > 0 ? PLACE_RCPT : PLACE_DATA);
    default:
        if (!is_good) {
            return go(load, s, PLACE_QUIT);
        }
        s->is_last = --s->messages == 0 || s->is_refused;
        return go(load, s, PLACE_MESSAGE);
    }
}

static bool shake_hands(struct load *load, struct session *s, int64_t now_ns)
{
    int done = channel_handshake(&s->channel);

    if (done < 0) {
        return done == -EAGAIN || fail(load, s, -done);
    }
    tally_time(&load->tally, &load->tally.tls, now_ns - s->connected_ns);
    return go(load, s, PLACE_EHLO);
}

static bool start_tls(struct load *load, struct session *s, int64_t now_ns)
{
    s->connected_ns = now_ns;
    s->place = PLACE_TLS;
    if (!channel_start_tls(&s->channel, load->tls, false)) {
        return fail(load, s, ENOMEM);
    }
    return shake_hands(load, s, now_ns);
}

/* The first digit that the place's good replies have. */
static bool is_good_reply(enum place place, int code)
{
    return place != PLACE_HOLD && code / 100 == (place == PLACE_DATA ? 3 : 2);
}

/* A session counts the first refusal alone: those that follow from it say nothing new. */
static void note(struct load *load, struct session *s, int code, bool is_good)
{
    struct tally *t = &load->tally;

    if (!is_good) {
        if (!s->is_refused) {
            tally_count(t, &t->refused[s->place][code]);
        }
        load->holding -= s->place == PLACE_HOLD;
        s->is_refused = true;
    } else if (s->place == PLACE_RCPT) {
        tally_count(t, &t->recipients);
    } else if (s->place == PLACE_MESSAGE) {
        tally_count(t, &t->messages);
    }
}

static bool take_reply(struct load *load, struct session *s, int code, int64_t now_ns)
{
    bool is_good = is_good_reply(s->place, code);
    /* Replies that were asked for in the same write come in any case. */
    bool goes_on = is_good || load->options->pipelined;

    note(load, s, code, is_good);
    switch (s->place) {
    case PLACE_BANNER:
        return go(load, s, is_good ? PLACE_EHLO : PLACE_QUIT);
    case PLACE_EHLO:
        return is_good ? after_ehlo(load, s) : go(load, s, PLACE_QUIT);
    case PLACE_STARTTLS:
        return is_good ? start_tls(load, s, now_ns) : go(load, s, PLACE_QUIT);
    case PLACE_MAIL:
    case PLACE_RCPT:
    case PLACE_DATA:
        return goes_on ? after_envelope(load, s, is_good) : go(load, s, PLACE_QUIT);
    case PLACE_MESSAGE:
        return s->is_last || !goes_on ? go(load, s, PLACE_QUIT) : begin_mail(load, s);
    case PLACE_QUIT:
        return complete(load, s, now_ns);
    default:
        return go(load, s, PLACE_QUIT);
    }
}

static bool take_bytes(struct load *load, struct session *s, size_t length, int64_t now_ns)
{
    size_t at = 0;

    s->moved_ns = now_ns;
    if (s->said_ns != 0) {
        tally_time(&load->tally, &load->tally.hop, now_ns - s->said_ns);
        s->said_ns = 0;
    } else if (s->place == PLACE_BANNER && s->reply.head_length == 0) {
        tally_time(&load->tally, &load->tally.banner, now_ns - s->connected_ns);
    }
    while (at < length) {
        int code = reply_take(&s->reply, load->input + at, length - at, &at);
        if (code < 0) {
            return fail(load, s, FAILED_NO_REPLY);
        }
        if (code > 0 && !take_reply(load, s, code, now_ns)) {
            return false;
        }
    }
    return true;
}

static bool converse(struct load *load, struct session *s, uint32_t events, int64_t now_ns)
{
    if (s->place == PLACE_TLS) {
        if (!shake_hands(load, s, now_ns)) {
            return false;
        }
        if (s->place == PLACE_TLS) {
            return true;
        }
    }
    for (;;) {
        ssize_t got = channel_read(&s->channel, load->input, LOAD_INPUT_SIZE);
        if (got == -EAGAIN) {
            return true;
        }
        if (got <= 0) {
            return lose(load, s, got ? (int)-got : FAILED_END, now_ns);
        }
        bool is_drained = channel_is_drained(&s->channel, got, LOAD_INPUT_SIZE);
        if (!take_bytes(load, s, (size_t)got, now_ns)) {
            return false;
        }
        if (is_drained && !(events & EPOLLRDHUP)) {
            return true;
        }
        /* What is read next may answer what has just been said: it came after the turn began. */
        now_ns = machine_now_ns();
    }
}

static int socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
}

bool session_serve(struct load *load, struct session *s, uint32_t events, int64_t now_ns)
{
    if (s->place == PLACE_CONNECT) {
        int error = events & (EPOLLERR | EPOLLHUP) ? socket_error(s->channel.fd) : 0;
        if (error) {
            return fail(load, s, error);
        }
        tally_time(&load->tally, &load->tally.connect, now_ns - s->began_ns);
        s->connected_ns = s->moved_ns = now_ns;
        s->place = PLACE_BANNER;
    }
    bool may_say = s->unsent.length > 0 && s->pauses_until_ns == 0 && (events & EPOLLOUT);
    if (may_say && !say(load, s)) {
        return false;
    }
    return !(events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) ||
           converse(load, s, events, now_ns);
}

static int connect_from(int fd, const union address *server, const union address *source)
{
    static const int yes = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (source) {
        /* The port is chosen by connect(), which knows the server: each source has all its ports
         * for each. */
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (bind(fd, &source->any, address_length(source)) < 0) {
            return errno;
        }
    }
    return connect(fd, &server->any, address_length(server)) < 0 && errno != EINPROGRESS ? errno
                                                                                         : 0;
}

bool session_begin(
    struct load *load, struct session *s, const struct session_ends *ends, bool is_arriving,
    int64_t now_ns)
{
    const union address *server = ends->server;

    *s = (struct session){
        .channel.fd = socket(server->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
        .is_arriving = is_arriving,
        .messages = load->options->messages,
        .began_ns = now_ns,
        .moved_ns = now_ns,
    };
    load->arriving += is_arriving;
    if (s->channel.fd < 0) {
        return fail(load, s, errno);
    }
    int failure = connect_from(s->channel.fd, server, ends->source);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
    if (failure == 0 && epoll_ctl(load->epoll, EPOLL_CTL_ADD, s->channel.fd, &event) < 0) {
        failure = errno;
    }
    return failure == 0 || fail(load, s, failure);
}

struct session *session_rested(const struct load *load, int64_t now_ns)
{
    struct session *first = TAILQ_FIRST(&load->pausing);

    return first && first->pauses_until_ns <= now_ns ? first : NULL;
}

bool session_go_on(struct load *load, struct session *s)
{
    end_pause(load, s);
    return say(load, s);
}

void session_give_up(struct load *load, struct session *s)
{
    (void)fail(load, s, FAILED_TIMEOUT);
}

bool session_release(struct load *load, struct session *s)
{
    load->holding--;
    return go(load, s, PLACE_QUIT);
}
