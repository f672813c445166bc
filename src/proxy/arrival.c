#include "proxy/arrival.h"

#include "core/passage.h"
#include "net/clock.h"
#include "proxy/gate.h"

/* What no gate has sent is nobody's return, whatever its port: a subscriber may well use, to the
 * same server, the port that the kernel gave to a connection of ours. */
static bool has_returned(const struct gate *g, const struct arrival *a)
{
    return a->passages >= PASSAGES_MOST ||
           (a->passages > 0 && loopguard_knows(g->loopguard, &a->client, &a->server));
}

static struct verdict admit(const struct gate *g, int fd, struct arrival *a)
{
    struct admission_facts facts = {
        .client = a->client,
        .listen = g->boot->listen,
        .listen_count = g->boot->listen_count,
        .own = g->own,
        .own_count = g->own_count,
        .mode = g->boot->mode,
    };
    facts.server_known = intercept_destination(facts.mode, fd, &a->client, &a->server);
    facts.server = a->server;
    if (facts.mode == INTERCEPT_TPROXY && facts.server_known) {
        a->passages = intercept_passages(fd);
        facts.returned = has_returned(g, a);
    }
    return admission_check(g->conf, &facts);
}

void arrival_look(
    const struct gate *gate, int fd, const struct endpoint *client, struct arrival *out)
{
    /* Among a million standings finding one is waiting for memory, which comes while the kernel is
     * asked about the connection. */
    registry_prefetch(gate->registry, gate->conf, &client->addr);
    *out = (struct arrival){.client = *client};
    out->refused = admit(gate, fd, out);
    if (out->refused.action != VERDICT_FORWARD) {
        addr_format(&client->addr, out->subscriber);
        addr_format(&client->addr, out->line);
        return;
    }
    struct registry_entry entry;
    registry_find(gate->registry, gate->conf, &client->addr, clock_unix_ms() / 1000, &entry);
    out->class = entry.class;
    registry_id(&entry, out->subscriber);
    prefix_format(&entry.unit, out->line);
    if (entry.over.addr.family == ADDR_NONE) {
        registry_id(&entry, out->standing);
    } else {
        prefix_format(&entry.over, out->standing);
    }
}
