/* BDAT and its kin: commands with octets of the client's behind them, or a message of the server's.
 */
#include "dialog_internal.h"

bool dialog_answer_sequence(
    struct dialog_turn *t, const struct dialog_command *c, const char *detail)
{
    static const struct verdict sequence = {.action = VERDICT_REFUSE, .rule = RULE_SEQUENCE};
    return dialog_answer_command(t, c, &sequence, PLACE_DATA, detail);
}

/* Between the chunks of a message RFC 3030 has only its next chunk. Exim takes any other command,
 * spelt otherwise than so, for the message's end: it refuses the next BDAT, and its octets are
 * commands to it. */
bool dialog_is_allowed(const struct dialog *d, const struct dialog_command *c)
{
    static const struct span allowed[] = {
        SPAN_LITERAL("NOOP"), SPAN_LITERAL("RSET"), SPAN_LITERAL("QUIT")};
    bool found = !d->chunks_open || c->cmd.verb == VERB_BDAT;
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        found = found || span_equal_nocase(c->line.text, allowed[i]);
    }
    return found;
}

/* Why servers disagree on what stands behind this BDAT, or NULL. */
static const char *misread_chunk(const struct dialog *d, const struct smtp_cmd *cmd)
{
    /* Some servers read octets all the same, others commands. */
    if (!d->chunking) {
        return "the mail server does not offer CHUNKING";
    }
    if (!cmd->chunk_valid) {
        return "allowed are BDAT SIZE and BDAT SIZE LAST, with single blanks and a SIZE from 0 to "
               "2147483647";
    }
    /* Within a message Exim refuses it, and what follows is commands to it; Postfix 3.7 dies. */
    return cmd->chunk == 0 && !cmd->last ? "a SIZE of 0 is allowed with LAST alone" : NULL;
}

/* The gate answers, and the octets are nobody's. */
static bool swallow_chunk(struct dialog_turn *t, const struct dialog_command *c, bool answered)
{
    if (answered) {
        t->d->swallow = true;
        dialog_open_chunk(t, c->cmd.chunk);
    }
    return answered;
}

/* A server that refuses a BDAT may leave its octets to be read as commands, although RFC 3030 wants
 * them read and thrown away. So it gets none that it has a reason to refuse. The first of a message
 * is forwarded once every reply before it is in, and by these there is a recipient; the others,
 * which may be pipelined, behind one that was not refused, and with nothing between them that is
 * not allowed there: see dialog_is_allowed(). */
bool dialog_on_bdat(struct dialog_turn *t, const struct dialog_command *c)
{
    struct dialog *d = t->d;
    const char *misread = misread_chunk(d, &c->cmd);
    if (misread) {
        return dialog_reject_line(t, RULE_CHUNK, misread);
    }
    if (d->mail_refused) {
        return swallow_chunk(t, c, dialog_answer_verdict(t, c, &d->verdict, PLACE_DATA));
    }
    if (!d->chunks_open && (d->pending_count > 0 || d->server_finished)) {
        d->barrier = true; /* behind a server that has said its last, for ever */
        return false;
    }
    if (!d->chunks_open && d->taken == 0) {
        return swallow_chunk(t, c, dialog_answer_sequence(t, c, "no recipient was accepted"));
    }
    d->swallow = false;
    d->chunks_open = !c->cmd.last;
    dialog_forward_command(t, c, c->cmd.last ? PENDING_CHUNK_LAST : PENDING_CHUNK, false);
    dialog_open_chunk(t, c->cmd.chunk);
    return true;
}

/* RFC 4468: the server fetches the message itself; the reply to the last part is the message's. */
bool dialog_on_burl(struct dialog_turn *t, const struct dialog_command *c)
{
    if (t->d->mail_refused) {
        return dialog_answer_verdict(t, c, &t->d->verdict, PLACE_DATA);
    }
    dialog_forward_command(t, c, c->cmd.last ? PENDING_CHUNK_LAST : PENDING_CHUNK, false);
    return true;
}

/* Behind its 354 stand so many octets, and no dot ends them: to Exchange what follows is commands.
 */
bool dialog_on_xexch50(struct dialog_turn *t, const struct dialog_command *c)
{
    if (!c->cmd.chunk_valid) {
        return dialog_on_unknown(t, c);
    }
    t->d->chunk_left = c->cmd.chunk;
    dialog_forward_command(t, c, PENDING_XEXCH50, true);
    return true;
}
