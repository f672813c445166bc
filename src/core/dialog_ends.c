/* Half-closes: a side that has said its last, and what becomes of the bytes on their way. */
#include "dialog_internal.h"

/* Nobody will reply any more. What the client says is still metered and forwarded: the server may
 * read on, and a server that does not has lost nothing by it. */
bool dialog_server_end(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    const struct dialog_event *e = t->event;
    if (!e->server_eof || t->server.len > 0 || d->server_finished) {
        return false;
    }
    d->server_finished = true;
    d->pending_count = 0;
    dialog_progress(t);
    if (!d->client_finished) { /* else both have: the session ends */
        dialog_act(t, DIALOG_FINISH)->side = SIDE_SERVER;
    }
    if (e->server_lost) {
        dialog_end(t, d->admitted);
    }
    return true;
}

bool dialog_has_parted(const struct dialog *d)
{
    return d->phase == PHASE_LEFT && d->pending_count == 0;
}

/* What the client's next bytes are only a reply could have told. */
static bool is_undeliverable(const struct dialog_turn *t)
{
    const struct dialog *d = t->d;
    return d->server_finished && t->client.len > 0 && (d->barrier || d->phase == PHASE_GREETING);
}

void dialog_client_end(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    if (is_undeliverable(t)) {
        dialog_end(t, (struct verdict){.action = VERDICT_DEFER, .rule = RULE_HALF_CLOSE});
        return;
    }
    bool ends = t->event->client_eof && t->client.len == 0 && !d->client_finished;
    d->client_finished = d->client_finished || ends;
    if (d->client_finished && (d->server_finished || dialog_has_parted(d))) {
        dialog_end(t, (struct verdict){.action = VERDICT_FORWARD}); /* nothing is left to pass on */
    } else if (ends) {
        dialog_act(t, DIALOG_FINISH)->side = SIDE_CLIENT;
    }
}
