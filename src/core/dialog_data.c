/* What the client sends that is no command: bodies behind a 354, chunks of counted octets. */
#include "dialog_internal.h"

void dialog_open_body(struct dialog_turn *t)
{
    t->d->phase = PHASE_BODY;
    t->d->block = 0;
    smtp_body_init(&t->d->body);
}

void dialog_open_chunk(struct dialog_turn *t, uint64_t size)
{
    struct dialog *d = t->d;
    d->chunk_left = size;
    if (size > 0) {
        d->phase = PHASE_CHUNK;
        d->block = 0;
        dialog_progress(t);
    }
}

/* A byte a second is no progress: the deadline moves with whole blocks. */
static void count_block(struct dialog_turn *t, size_t size)
{
    struct dialog *d = t->d;
    if (size >= DIALOG_BLOCK - d->block) {
        d->block = 0;
        dialog_progress(t);
        return;
    }
    d->block += (uint32_t)size;
}

static bool end_body(struct dialog_turn *t)
{
    t->d->phase = PHASE_COMMAND;
    dialog_expect(t, PENDING_BODY);
    return true;
}

bool dialog_body_advance(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    size_t size = 0;
    struct span insert = SPAN_LITERAL("");
    enum smtp_scan scan = smtp_scan_body(&d->body, t->client, &size, &insert);
    bool normalize = scan == SMTP_SCAN_INSERT && d->setup->conf->bare_lf == BARE_LF_NORMALIZE;
    if (normalize) {
        dialog_rewrite(t, size, insert);
    } else if (size > 0) {
        dialog_forward(t, SIDE_CLIENT, size);
    }
    if (size > 0) {
        count_block(t, size);
    }
    if (normalize) {
        return true;
    }
    switch (scan) {
    case SMTP_SCAN_DONE:
        return end_body(t);
    case SMTP_SCAN_MORE:
        if (size == 0 && t->event->client_eof) { /* a CR behind a dot: the LF will never come */
            return dialog_reject_line(t, RULE_HALF_CLOSE, NULL);
        }
        return size > 0;
    default:
        return dialog_reject_line(
            t, RULE_NEWLINE, t->client.at[0] == '\0' ? DIALOG_NUL_DOT : DIALOG_CR_LF);
    }
}

bool dialog_chunk_advance(struct dialog_turn *t)
{
    struct dialog *d = t->d;
    size_t size = t->client.len < d->chunk_left ? t->client.len : (size_t)d->chunk_left;
    if (d->swallow) {
        dialog_discard(t, SIDE_CLIENT, size);
    } else {
        dialog_forward(t, SIDE_CLIENT, size);
    }
    count_block(t, size);
    d->chunk_left -= size;
    if (d->chunk_left == 0) {
        d->phase = PHASE_COMMAND;
        dialog_progress(t);
        if (d->blob) {
            d->blob = false;
            dialog_expect(t, PENDING_KNOWN);
        }
    }
    return true;
}
