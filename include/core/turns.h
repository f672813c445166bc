/* What a session behind STARTTLS has carried, told from its record flow alone. Nothing is
 * decrypted: a TLS record has a header of five octets in the clear, its type and its length.
 *
 * A turn is one exchange: the client speaks in a burst of application data, the server answers, and
 * the client speaks again. Its size is known but for the cipher's overhead. From that follow two
 * bounds of the messages that the server took.
 *
 * Most. A message costs the client 29 octets at least: MAIL, RCPT and DATA with bare LF and
 * one-letter addresses, and a content of one dot; BDAT is longer. It costs the server 3 replies
 * (BDAT; DATA takes 4), and no server in use has a reply shorter than TURNS_REPLY octets
 * ("250 OK"). Nothing more is taken for granted: a client need not wait for replies, so those to
 * one burst may come turns later, and any number of messages fits into one burst. What is kept is
 * the most replies that messages can have used up so far, which neither the answers nor the octets
 * behind them forbid:
 *     used = min(used + octets answered in this turn / TURNS_REPLY, 3 a message that all octets
 *     of the client's so far can pay, and those of one that has begun)
 * That no true session has used more is shown by induction. A reply that has come as a whole since
 * the last turn at which the octets were the smaller one is counted by its own octets; one of which
 * a part had come by then answers a command that had been sent by then, so the octets had room
 * for it. A burst that nobody has answered at the session's end counts by its octets alone. What is
 * not counted: messages whose replies were still on their way behind an earlier turn when the
 * client cut the connection.
 *
 * Least. A burst must hold content when commands cannot explain it: it is larger than one command
 * of TURNS_COMMAND octets, and TURNS_FURTHER for each further reply that its answer has room for.
 * Bursts of content with none of mere commands between them are a row, and may be chunks (BDAT) of
 * one message. To stay below the truth it is enough to know how clients cut:
 *
 * 1. One chunk a message (most clients); or the header alone, then the rest, where both together
 *    are more than 8 KB (Exim); or chunks of TURNS_CHUNK octets and more but for the last. So one
 *    burst of a message in several has TURNS_CHUNK octets at least, and at most one smaller stands
 *    before and one behind it. What is counted is the least number of such groups that cover the
 *    row: the group is made as long as it goes, which is best, for a part of a group is one too.
 *
 * 2. Or chunks that are all smaller, but for the last of more than 900 octets (1,900 with TLS 1.2,
 *    whose overhead is not known). Their answers are single replies of less than TURNS_OPENING
 *    octets; a message behind another in the same row is answered together with its envelope or
 *    that of the next. Small bursts in a row are messages of their own only with such an answer.
 *
 * Large bursts in a row are one message, unless their answers (those of more than TURNS_ONE octets,
 * hence of several replies) are longer than replies to chunks can be: 46 octets for TURNS_CHUNK.
 * A row of large bursts that the next turn's replies explain, because they came late (an envelope
 * of hundreds of recipients, sent in several pieces), is taken back. Who asks for replies only to
 * hide what he has sent can do so in the burst itself as well, at no cost: there is no guard.
 *
 * TURNS_FURTHER is so large because envelopes are: a RCPT with the parameters of RFC 3461 has the
 * address twice, and lists of them go out in one burst: 128 octets on the average where replies
 * have 8, and 224 where they have 14, as Postfix's do.
 *
 * So the bound is exact for messages larger than a command whose content has turns of its own, and
 * for those that one BDAT brings along with their envelope. Smaller messages are missed, and all
 * but one of those that share a burst; where the next envelope goes with the content, the last of a
 * row of small ones, and most of a row of large ones. Nothing that is not there is counted, unless
 * a client sends AUTH tokens, commands of more than TURNS_COMMAND octets or many that are longer
 * than TURNS_FURTHER allows, or small chunks to a server with replies of more than TURNS_OPENING.
 *
 * TLS 1.3 disguises its handshake as application data. It is known by the server being the first
 * to send such (in SMTP the client speaks first); the client's first record is its Finished then,
 * and its certificate may stand in the first turn, which therefore holds no content.
 * A flow that is no TLS is counted by its reads. */
#ifndef GATE25_CORE_TURNS_H
#define GATE25_CORE_TURNS_H

#include "base/str.h"

#define TURNS_REPLY   8
#define TURNS_COMMAND 256
#define TURNS_FURTHER 128
#define TURNS_CHUNK   4096
#define TURNS_OPENING 48 /* replies to MAIL, RCPT and a content, or more */
#define TURNS_ONE     96 /* a reply to a chunk that is not the last is no longer */

/* One direction: where in which record it is. */
struct turns_flow {
    uint8_t have; /* octets of the header */
    uint8_t type;
    uint16_t left; /* of the record, or what is known of its length */
};

/* Why the client's flow is held. */
enum turns_hold {
    TURNS_FREE,
    TURNS_START,  /* a turn is about to begin; the turn before is counted */
    TURNS_CONTENT /* with its next record the burst may be the content of a new message */
};

/* The row of content that the last whole turn belongs to. */
enum turns_row {
    TURNS_NONE,  /* it held commands */
    TURNS_SMALL, /* a small burst: a message, or a chunk before a large one */
    TURNS_LARGE, /* a large one: more of the message may come */
    TURNS_DONE   /* and its end has come: what follows is another */
};

struct turns {
    uint32_t count;             /* whole turns */
    uint32_t least;             /* messages in them, at least */
    uint64_t used;              /* replies of messages, at most */
    uint64_t up;                /* octets of the client's, at most */
    uint64_t up_least, up_most; /* octets of text in the turn that is open */
    uint64_t down_least, down;
    uint64_t row_up, row_down;        /* of the message that the row is at, where it is large */
    uint64_t doubt_up, doubt_replies; /* of a row that has only large bursts */
    uint32_t doubt_least;             /* what `least` was before it */
    uint16_t offered;                 /* size of the record at TURNS_CONTENT */
    uint8_t down_rest;                /* octets of answers that are no whole reply yet */
    uint8_t held;                     /* enum turns_hold */
    uint8_t row;                      /* enum turns_row */
    struct turns_flow client, server;
    bool plain;   /* no TLS */
    bool tls13;   /* handshake disguised */
    bool began;   /* application data of the client's has been seen */
    bool spoke;   /* the client, in the turn that is open */
    bool replied; /* and the server has answered */
    bool weighed; /* TURNS_CONTENT has been passed in it */
};

void turns_init(struct turns *t);
/* Walks over what the client sends. Returns how much of it may go on. With `held` set the rest
 * stays where it is until turns_pass(): at TURNS_START all of a record, at TURNS_CONTENT what is
 * behind its header. */
size_t turns_client(struct turns *t, struct span bytes);
void turns_pass(struct turns *t);
void turns_server(struct turns *t, struct span bytes);
/* The session is over: what was answered counts. */
void turns_end(struct turns *t);
/* Messages that the server took, at most. */
uint32_t turns_most(const struct turns *t);

#endif
