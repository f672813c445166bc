/* A connection that has just been accepted: who comes, where to, and what is made of it. */
#ifndef GATE25_PROXY_ARRIVAL_H
#define GATE25_PROXY_ARRIVAL_H

#include "core/verdict.h"
#include "svc/registry.h"

struct gate;

struct arrival {
    struct endpoint client, server; /* as the client sees the connection */
    int passages;                   /* core/passage.h */
    struct verdict refused;         /* FORWARD: it is not */
    const struct conf_class *class; /* NULL: nobody's, refused */
    char subscriber[REGISTRY_ID];   /* the id; refused: the client's address */
    char line[PREFIX_TEXT];         /* what replies call it: nobody is told an account's name */
    char standing[REGISTRY_ID];     /* the id of whose standing it has */
};

/* Looks at the connection `fd` of `client` with the gate's present configuration. */
void arrival_look(
    const struct gate *gate, int fd, const struct endpoint *client, struct arrival *out);

#endif
