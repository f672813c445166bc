/* What a session behind STARTTLS has carried, told from its record flow alone. Nothing is
 * decrypted: a TLS record has a header of five octets in the clear, its type and its length.
 *
 * A turn is one exchange: the client speaks in a burst of application data, the server answers, and
 * the client speaks again. Its size is known but for the cipher's overhead. From that follow two
 * bounds of the messages that were handed over (what the server said to them is not seen):
 *
 * Most. A message costs at least MAIL, RCPT and its content, hence 29 octets from the client (bare
 * LF, one-letter addresses, no content at all) and 3 replies; no server in use has a reply shorter
 * than TURNS_REPLY octets ("250 OK"). With PIPELINING and CHUNKING any number of messages fits into
 * one turn, so neither one turn nor two are the least that a message can need: octets are. With
 * DATA it is two turns, or one when MAIL, RCPT and DATA follow the last message's content at once.
 * For each place where a transaction can stand at the end of a turn (nothing, MAIL, RCPT, DATA) the
 * most messages are kept that lead there; each turn moves them on by what its octets and replies
 * can pay. Whatever the client does, it cannot have handed over more.
 *
 * Least. A burst must hold content when commands cannot explain it: it is larger than one command
 * of TURNS_COMMAND octets, and TURNS_FURTHER for each further reply that its answer has room for.
 * The first turn (EHLO, or a client's certificate) never counts. Bursts of content in a row count
 * once, for they may be the chunks of one message, or one that the server interrupted by a session
 * ticket. So small messages are missed, and those whose envelope goes with the content (BDAT) in
 * each but the first; nothing that is not there is counted, unless a client sends an AUTH token or
 * a command of more than TURNS_COMMAND octets.
 *
 * TLS 1.3 disguises its handshake as application data. It is known by the server being the first
 * to send such (in SMTP the client speaks first); the client's first record is its Finished then.
 * A flow that is no TLS is counted by its reads. */
#ifndef GATE25_CORE_TURNS_H
#define GATE25_CORE_TURNS_H

#include "base/str.h"

#define TURNS_REPLY   8
#define TURNS_COMMAND 256
#define TURNS_FURTHER 64
#define TURNS_CHUNK   4096 /* nobody cuts a message into chunks (BDAT) smaller than this */
#define TURNS_STAGES  4    /* how far a transaction can be at the end of a turn */

/* One direction: where in which record it is. */
struct turns_flow {
    uint8_t have; /* octets of the header */
    uint8_t type;
    uint16_t left; /* of the record, or what is known of its length */
};

struct turns {
    uint32_t count; /* whole turns */
    uint32_t least; /* messages in them, at least */
    int64_t most[TURNS_STAGES];
    uint64_t up_least, up_most, down; /* octets of text in the turn that is open */
    uint64_t carried;                 /* octets whose replies may still come in the next turn */
    struct turns_flow client, server;
    bool plain;   /* no TLS */
    bool tls13;   /* handshake disguised */
    bool began;   /* application data of the client's has been seen */
    bool spoke;   /* the client, in the turn that is open */
    bool replied; /* and the server has answered */
    bool waiting; /* turns_client() stands at the start of a turn */
    bool content; /* the last whole turn held content */
    bool chunk;   /* which may have been a part of a message */
};

void turns_init(struct turns *t);
/* Walks over what the client sends. Returns how much of it belongs to turns that have begun: all
 * of it, or what stands before the start of the next turn. There it stays, the turn before being
 * counted now, until turns_pass(). */
size_t turns_client(struct turns *t, struct span bytes);
void turns_pass(struct turns *t);
void turns_server(struct turns *t, struct span bytes);
/* The session is over: what was answered counts. */
void turns_end(struct turns *t);
/* Messages in the whole turns, at most. */
uint32_t turns_most(const struct turns *t);
/* At the start of a turn: no content of a message that is not yet whole has been passed on. */
bool turns_between(const struct turns *t);

#endif
