/* What the files of the dialog share. */
#ifndef GATE25_CORE_DIALOG_INTERNAL_H
#define GATE25_CORE_DIALOG_INTERNAL_H

#include "core/dialog.h"
#include "core/smtp_cmd.h"

/* What RULE_NEWLINE is told with. */
#define DIALOG_CR_LF   "CR LF alone may end it"
#define DIALOG_NUL_DOT "no NUL may stand behind a dot that begins it"

#define REWRITE_ROOM 8 /* bytes that one advance may put in, with room to spare */

enum dialog_phase {
    PHASE_GREETING, /* the server's greeting, and leave to let it through, are awaited */
    PHASE_COMMAND,
    PHASE_LINE,  /* behind a 334: a line that is no command */
    PHASE_BODY,  /* behind a 354 */
    PHASE_CHUNK, /* behind a BDAT */
    PHASE_TLS,   /* behind STARTTLS' 220: the client must speak first */
    PHASE_LEFT,  /* behind a 221: what the client still says is for nobody */
    PHASE_OPAQUE
};

/* What a reply that is awaited belongs to. */
enum dialog_pending {
    PENDING_GREETING,
    PENDING_EHLO,  /* its reply says whether there is CHUNKING */
    PENDING_RESET, /* ends the transaction, whatever is answered: RSET, HELO */
    PENDING_MAIL,
    PENDING_MAIL_PRDR, /* a MAIL that asks for PRDR */
    PENDING_RCPT,
    PENDING_DATA,
    PENDING_BODY, /* the message behind the 354 */
    PENDING_CHUNK,
    PENDING_CHUNK_LAST,
    PENDING_STARTTLS,
    PENDING_KNOWN,   /* a verb of ours that changes nothing */
    PENDING_UNKNOWN, /* AUTH, or a verb we do not know: a 334 or 354 may open something */
    PENDING_XEXCH50, /* a 354 opens `chunk_left` octets */
    PENDING_KINDS    /* at most 16: dialog_expect() */
};

/* On the MAIL at the front of the client's input. */
enum dialog_decision { DECISION_NONE, DECISION_GRANTED, DECISION_REFUSED };

/* A command at the front of the client's input. */
struct dialog_command {
    struct smtp_cmd cmd;
    struct smtp_line line;
    struct span after; /* what the client has sent behind it */
};

/* One call of dialog_step. `client` and `server` are what is left of the event's input. */
struct dialog_turn {
    struct dialog *d;
    const struct dialog_event *event;
    struct dialog_actions *out;
    struct span client, server;
    bool replied;            /* the reply buffer is taken */
    const char *explanation; /* WORD_EXPLANATION */
};

/* The word is another now; `text` is of this turn's. */
void dialog_renew(struct dialog_turn *t, enum dialog_word word, struct span text);

/* Each advance handles one line or piece. False: nothing can be done until something happens. */
bool dialog_client_advance(struct dialog_turn *t);
bool dialog_server_advance(struct dialog_turn *t);
bool dialog_body_advance(struct dialog_turn *t);  /* the client's, in PHASE_BODY */
bool dialog_chunk_advance(struct dialog_turn *t); /* the client's, in PHASE_CHUNK */

/* Commands. False: it cannot be handled yet, or the session has ended. */

bool dialog_on_bdat(struct dialog_turn *t, const struct dialog_command *c);
bool dialog_on_burl(struct dialog_turn *t, const struct dialog_command *c);
bool dialog_on_xexch50(struct dialog_turn *t, const struct dialog_command *c);
bool dialog_on_unknown(struct dialog_turn *t, const struct dialog_command *c);
/* May the server see the command where it stands? */
bool dialog_is_allowed(const struct dialog *d, const struct dialog_command *c);

/* `barrier`: what follows waits for its reply. */
void dialog_forward_command(
    struct dialog_turn *t, const struct dialog_command *c, enum dialog_pending pending,
    bool barrier);
/* The gate's own reply keeps its turn: it waits until every reply before it has gone out. */
bool dialog_answer_command(
    struct dialog_turn *t, const struct dialog_command *c, const struct verdict *v,
    enum verdict_place place, const char *detail);
/* The same, with SPF's own words where it is SPF's verdict. */
bool dialog_answer_verdict(
    struct dialog_turn *t, const struct dialog_command *c, const struct verdict *v,
    enum verdict_place place);
/* What has no place where it stands the server must not see: the gate answers with 503. */
bool dialog_answer_sequence(
    struct dialog_turn *t, const struct dialog_command *c, const char *detail);

/* A side that has said its last: its half-close goes on. True: the server's, so that no reply holds
 * the client's bytes back any more. */
bool dialog_server_end(struct dialog_turn *t);
void dialog_client_end(struct dialog_turn *t);
void dialog_open_body(struct dialog_turn *t);
void dialog_open_chunk(struct dialog_turn *t, uint64_t size);

/* The MAIL at the front of the client's input, of a metered class; `recipients` follow it. True: it
 * is decided. False: an answer is awaited. */
bool dialog_decide_mail(struct dialog_turn *t, struct span argument, uint32_t recipients);
void dialog_answer_spf(struct dialog_turn *t); /* to the question that it asks */

/* Actions: each takes what it consumes off the turn's input. */

struct dialog_action *dialog_act(struct dialog_turn *t, enum dialog_action_kind kind);
void dialog_forward(struct dialog_turn *t, enum dialog_side side, size_t count);
void dialog_discard(struct dialog_turn *t, enum dialog_side side, size_t count);
/* The next `size` bytes of the client's with `insert` behind them, to the server. There is room for
 * this once after each has_room(). */
void dialog_rewrite(struct dialog_turn *t, size_t size, struct span insert);
void dialog_ask(struct dialog_turn *t, struct question question);
void dialog_ask_spf(struct dialog_turn *t);
/* Writes the verdict's journal line: of what was refused, or in shadow would have been. */
void dialog_record_verdict(struct dialog_turn *t, const struct verdict *v);
/* Says `v` to the client in the gate's own name, without ending the session. */
void dialog_say(
    struct dialog_turn *t, const struct verdict *v, enum verdict_place place, const char *detail);
/* Says it, records it when it is a refusal that the subscriber should be able to look up, and
 * ends the session. */
void dialog_reject(
    struct dialog_turn *t, struct verdict v, enum verdict_place place, const char *detail);
void dialog_end(struct dialog_turn *t, struct verdict v);
/* The same, since its line's standing has changed: where nobody reads, nobody can be told. */
void dialog_end_standing(struct dialog_turn *t);
/* dialog_reject() for what the client has sent, once every reply before it has gone out. False. */
bool dialog_reject_line(struct dialog_turn *t, enum rule rule, const char *detail);

/* Opaque sessions. */

void dialog_go_opaque(struct dialog_turn *t);
void dialog_tick_opaque(struct dialog_turn *t);
void dialog_on_turn(struct dialog_turn *t);
void dialog_answer_opaque(struct dialog_turn *t, const struct verdict *v);

/* Replies that are awaited, in order. */

void dialog_expect(struct dialog_turn *t, enum dialog_pending pending);
enum dialog_pending dialog_awaited(const struct dialog *d); /* the oldest */
enum dialog_pending dialog_expected(struct dialog *d);      /* takes it off */

bool dialog_is_metered(const struct dialog *d);
/* To submission, which is nobody's to meter: its server knows who submits. */
bool dialog_is_bridged(const struct dialog *d);
/* A slot in `concurrent` is the session's while it is open, bridged or not. */
bool dialog_holds_slot(const struct dialog *d);
/* Something awaited has come: the next deadline counts from now. */
void dialog_progress(struct dialog_turn *t);

#endif
