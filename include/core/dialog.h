/* The SMTP dialogue between a subscriber and a server, as a pure state machine.
 *
 * The shell holds the bytes: for each side those received and not yet consumed. It calls
 * dialog_step() with what has happened and carries out the actions in their order. The dialog has
 * no heap, no clock and no descriptor; transcripts drive it in a unit test as the daemon does.
 *
 * No server is given octets that it may take for commands: behind a BDAT (RFC 3030) which it has a
 * reason to refuse the octets are thrown away, and what has no place between the chunks of a
 * message is answered by the gate; with 503, and the session goes on.
 *
 * A MAIL asks for the token of its first recipient too, named or not; those that are pipelined
 * behind it are asked for with it, others at their RCPT. What a mail does not use its session's
 * next one does: so a session pays for one recipient at most that it never names. Where that token
 * alone is not there, the MAIL goes on, and it is asked for again at RCPT. */
#ifndef GATE25_CORE_DIALOG_H
#define GATE25_CORE_DIALOG_H

#include "core/facts.h"
#include "core/smtp_scan.h"
#include "core/turns.h"
#include "core/verdict.h"

#define DIALOG_PIPELINE    64 /* commands whose replies may be outstanding; behind them bytes wait */
#define DIALOG_LINE        12288 /* longest line: RFC 4954 section 4 */
#define DIALOG_ACTIONS     16
#define DIALOG_BLOCK       512  /* body bytes that prove progress within data_block_ms */
#define DIALOG_REWRITE     4096 /* normalised bytes a step */
#define DIALOG_HELO        255  /* octets of a name that SPF looks at */
#define DIALOG_PATH        257  /* octets of a path; RFC 5321 4.5.3.1.3 */
#define DIALOG_NO_DEADLINE INT64_MAX

enum dialog_event_kind {
    DIALOG_START,          /* once, first */
    DIALOG_CONNECTED,      /* the server took the connection */
    DIALOG_CONNECT_FAILED, /* `detail` says why */
    DIALOG_BYTES,          /* either side has more, or room: look at the input */
    DIALOG_ANSWER,         /* the meter's, in `answer`; or that of SPF, in `spf` */
    DIALOG_TICK,           /* the deadline has come; or, opaque, a checkpoint is due */
    DIALOG_TURN,           /* opaque: `turns` holds what the client sends */
    DIALOG_SHUTDOWN,       /* the gate is being stopped: end between commands */
    DIALOG_STANDING,       /* the subscriber may less than when it began: the same */
};

struct dialog_event {
    enum dialog_event_kind kind;
    int64_t now_ms; /* monotonic */
    /* All bytes received and not yet consumed, in every event. */
    struct span client, server;
    bool client_eof, server_eof;   /* behind those bytes nothing more will come */
    bool server_lost;              /* nothing reaches the server any more */
    bool client_full, server_full; /* enough waits to be sent there: consume nothing for it */
    uint64_t bytes_up;             /* sent to the server so far, for metering */
    int64_t active_ms;             /* opaque: when the last byte came, from either side */
    struct answer answer;          /* DIALOG_ANSWER */
    struct spf_answer spf;         /* DIALOG_ANSWER to QUESTION_SPF */
    const char *detail;            /* DIALOG_CONNECT_FAILED */
    struct verdict refused; /* DIALOG_START: other than FORWARD, refused before anything began */
    bool likely_over; /* DIALOG_START: the meter will refuse, most likely: no server is bothered
                       * before it has been asked */
    const char *explanation; /* WORD_EXPLANATION as it was last; NULL: none */
};

/* What a session is told by, for the journal and for SPF. The shell keeps it: a session that has
 * said little costs little. Untrusted text: escape it. */
enum dialog_word {
    WORD_HELO, /* argument of the last EHLO or HELO, cut behind DIALOG_HELO octets */
    WORD_FROM, /* reverse-path of the last MAIL, without the angle brackets; of DIALOG_PATH octets
                * the last */
    WORD_TO,   /* forward-path of the last RCPT of the mail */
    WORD_EXPLANATION, /* SPF's, of the MAIL that it refused */
    DIALOG_WORDS
};

enum dialog_side { SIDE_CLIENT, SIDE_SERVER };

/* Where a session is connected to. */
enum dialog_target {
    TARGET_ORIGINAL,  /* where the client wanted to go */
    TARGET_SUBMISSION /* submission_target() of that */
};

enum dialog_action_kind {
    DIALOG_CONNECT, /* to `target`; once a session */
    DIALOG_FORWARD, /* `count` bytes off the front of `side`'s input, to the other side */
    DIALOG_DISCARD, /* `count` bytes off the front of `side`'s input */
    DIALOG_REPLACE, /* the same (`count` may be 0), and `text` to the other side in their place */
    DIALOG_SEND,    /* `text` to the client, behind all that was forwarded to it */
    DIALOG_ASK,     /* `question`; its answer comes as DIALOG_ANSWER */
    DIALOG_RECORD,  /* journal line of a refusal: `verdict` (spoken or shadowed) */
    DIALOG_OPAQUE,  /* from now on all bytes of both sides are forwarded unseen; a tick is due with
                     * every `count` bytes to the server */
    DIALOG_PAUSE,   /* opaque: read nothing of the client's */
    DIALOG_RESUME,  /* ... and again; a tick is due after `count` bytes to the server */
    DIALOG_FINISH,  /* `side` has said its last: pass the half-close on to the other side */
    DIALOG_CLOSE /* the session ends once what was sent has left; `verdict` says why. Last. Input of
                  * the client's that is left cannot be delivered: he must not think it was. */
};

struct dialog_action {
    enum dialog_action_kind kind;
    enum dialog_side side;
    enum dialog_target target;
    size_t count;
    struct span text; /* in dialog_actions */
    struct question question;
    struct verdict verdict;
};

struct dialog_actions {
    /* Where `renewed`, the word is another now; empty: there is none. It points into the event's
     * bytes: copy it before the actions are carried out. */
    struct {
        bool renewed;
        struct span text;
    } word[DIALOG_WORDS];
    unsigned count;
    struct dialog_action action[DIALOG_ACTIONS];
    bool more; /* no room was left: carry these out, then step again with DIALOG_BYTES */
    char reply[VERDICT_REPLY]; /* at most one DIALOG_SEND a step */
    size_t rewritten;          /* bytes of `rewrite` in use */
    char rewrite[DIALOG_REWRITE];
    char explanation[SPF_EXPLANATION];
};

/* What stays the same for a session; belongs to the caller, outlives the dialog. */
struct dialog_setup {
    const struct conf *conf;
    const struct conf_class *class;
    const char *subscriber; /* id as text */
    const char *case_id;
    const char *reason; /* of the standing, told with a refusal of its class; NULL: none */
};

/* What the journal tells of a session, beside its words. */
struct dialog_record {
    uint32_t messages;             /* accepted by the server */
    uint32_t recipients;           /* accepted by the server */
    enum spf_result spf, spf_helo; /* of the last MAIL */
    bool tls;                      /* the server said 220 to STARTTLS */
    bool opaque;
};

/* Opaque to everybody but src/core/dialog*.c. */
struct dialog {
    const struct dialog_setup *setup;
    int64_t since_ms; /* when what is awaited now began to be awaited */
    int64_t wake_ms;  /* opaque: next checkpoint */
    int64_t slot_ms;  /* from then on a question renews the slot in `concurrent` */
    uint64_t chunk_left;
    uint64_t bytes_charged;
    size_t client_seen, server_seen; /* scanned in vain for a line's end */
    uint32_t granted;                /* recipients granted beyond those forwarded, see above */
    uint32_t refused;                /* recipients of the same run that `verdict` refuses */
    uint32_t taken;                  /* recipients of the transaction that the server took */
    uint32_t prdr_left;              /* of them: whose own reply behind a 353 is awaited */
    uint32_t block;                  /* body bytes since `since_ms` was last moved */
    uint8_t phase;                   /* enum dialog_phase */
    uint8_t decision; /* enum dialog_decision on the MAIL at the front of the client's input */
    /* enum dialog_pending, a ring: commands without a reply yet. Two in each octet. */
    uint8_t pending[DIALOG_PIPELINE / 2];
    uint8_t pending_first, pending_count;
    bool connecting, connected, asking, barrier, ended;
    bool client_finished, server_finished;
    bool shutdown, standing_changed, paused;
    bool in_transaction; /* a MAIL was forwarded and its transaction has not ended */
    bool chunks_open;    /* a BDAT without LAST was forwarded, and its message goes on */
    bool prdr;           /* the server took the transaction's MAIL, which asked for PRDR */
    bool prdr_begun;     /* ... and it has said 353: `prdr_left` replies, then the message's */
    bool mail_refused;   /* the gate refused the MAIL, so it answers what belongs to it */
    bool spf_known;      /* of the MAIL at the front of the client's input, or not to be asked */
    bool priced;         /* all that it costs was asked for */
    bool tentative;      /* the question that is out asks for a recipient that may not come */
    uint8_t paid;        /* its messages that were paid before the question that is out */
    bool swallow;        /* the chunk belongs to a refused MAIL: it is thrown away */
    bool greeted;        /* a line of the reply to the last EHLO has come */
    bool chunking;       /* the server's last EHLO reply offers CHUNKING */
    bool blob;           /* PHASE_CHUNK holds XEXCH50's octets: a reply follows them */
    struct smtp_body body;
    struct question question;  /* the one that is out */
    struct verdict verdict;    /* of the refused transaction or run */
    struct verdict admitted;   /* the whole session: FORWARD, or SUBMIT when it is bridged */
    struct turns turns;        /* opaque: the shell tells it what goes by */
    uint32_t messages_charged; /* of those that turns tell of, and of the one that may begin */
    bool weighed;              /* what `turns` holds has its token, or needs none */
    bool leaving;              /* `verdict` ends the opaque session */
    struct dialog_record record;
};

void dialog_init(struct dialog *d, const struct dialog_setup *setup);
/* Handles one event; `actions` is written anew. After DIALOG_CLOSE there are no more actions. */
void dialog_step(
    struct dialog *d, const struct dialog_event *event, struct dialog_actions *actions);
/* When DIALOG_TICK is due (monotonic ms), or DIALOG_NO_DEADLINE. Read it after every step. */
int64_t dialog_deadline(const struct dialog *d);
/* The server has taken its leave, and answered all: nothing more is expected of it, not even its
 * end. */
bool dialog_has_parted(const struct dialog *d);
/* Messages of an opaque session that the meter has not been told of. */
uint32_t dialog_messages_due(const struct dialog *d);

#endif
