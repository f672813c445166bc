/* A registration (core/registration.h) as the fields of a Redis hash, and back. */
#ifndef GATE25_SVC_REGISTRATION_CODEC_H
#define GATE25_SVC_REGISTRATION_CODEC_H

#include "core/registration.h"
#include "svc/redis.h"

#define REGISTRATION_WORDS 44
#define REGISTRATION_TEXT  512

/* FIELD VALUE ...: the words look into the registration and into `text`, so neither may move. */
struct registration_words {
    size_t count;
    struct span at[REGISTRATION_WORDS];
    size_t used;
    char text[REGISTRATION_TEXT];
};

void registration_words_init(struct registration_words *w);
/* Adds a field; an empty value is left away. */
void registration_words_add(struct registration_words *w, const char *field, struct span value);
/* All fields but the version. */
void registration_words_of(struct registration_words *w, const struct registration *r);

/* From a list of fields and values. What is missing, or is none of the values that are written, is
 * as if it were not there. False: there is no registration in it, `out` is empty. */
bool registration_decode(const struct redis_reply *fields, struct registration *out);

#endif
