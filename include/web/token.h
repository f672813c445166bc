/* Secrets that travel: random, or made of another secret; as text (base64url, RFC 4648). */
#ifndef GATE25_WEB_TOKEN_H
#define GATE25_WEB_TOKEN_H

#include "base/str.h"

#define TOKEN_TEXT 44 /* 256 bits as text, terminator included */

/* 256 random bits. Ends the process where there is no randomness. */
void token_random(char out[TOKEN_TEXT]);
/* What is stored of a token: its SHA-256. Who reads the store cannot use it. */
void token_hash(struct span token, char out[TOKEN_TEXT]);
/* HMAC-SHA-256 of `text` under `key`. */
void token_mac(struct span key, struct span text, char out[TOKEN_TEXT]);
bool token_is(struct span s);                   /* has the form of one */
bool token_equal(struct span a, struct span b); /* in constant time for equal lengths */

#endif
