#include "svc/redis_resolve.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"

struct lookup {
    int fd;
    struct conf_redis_place place;
};

static void find(const struct conf_redis_place *place, int flags, struct redis_addresses *out)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char port[8];

    memset(out, 0, sizeof *out);
    snprintf(port, sizeof port, "%u", (unsigned)place->port);
    out->error = getaddrinfo(place->host, port, &hints, &found);
    if (out->error != 0) {
        return;
    }
    for (struct addrinfo *a = found; a && out->count < REDIS_ADDRESSES; a = a->ai_next) {
        memcpy(&out->at[out->count], a->ai_addr, a->ai_addrlen);
        out->len[out->count++] = a->ai_addrlen;
    }
    freeaddrinfo(found);
    if (out->count == 0) {
        out->error = EAI_NONAME;
    }
}

bool redis_resolve_literal(const struct conf_redis_place *place, struct redis_addresses *out)
{
    find(place, AI_NUMERICHOST, out);
    return out->error == 0;
}

static void *look_up(void *context)
{
    struct lookup *l = context;
    struct redis_addresses found;

    find(&l->place, 0, &found);
    /* Nobody may be listening any more: then it is lost, as it should be. */
    (void)send(l->fd, &found, sizeof found, MSG_NOSIGNAL);
    close(l->fd);
    free(l);
    return NULL;
}

int redis_resolve_start(const struct conf_redis_place *place)
{
    struct lookup *l = malloc(sizeof *l);
    int pair[2];

    if (!l) {
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(l);
        return -1;
    }
    *l = (struct lookup){.fd = pair[1], .place = *place};
    if (thread_start(NULL, look_up, l) != 0) {
        close(pair[0]);
        close(pair[1]);
        free(l);
        return -1;
    }
    return pair[0];
}

bool redis_resolve_take(int fd, struct redis_addresses *out)
{
    ssize_t n = recv(fd, out, sizeof *out, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
        return false;
    }
    if (n != (ssize_t)sizeof *out) {
        *out = (struct redis_addresses){.error = EAI_SYSTEM};
    }
    close(fd);
    return true;
}
