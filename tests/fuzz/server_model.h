/* A mail server as the dialog's oracle: it reads what was forwarded with a scanner of its own,
 * lenient where servers are, counts what it executes, and answers as the fuzzer's choices say.
 *
 * Of BDAT it is as bad as Exim and worse: where it has no recipient, or where something was said
 * between chunks that has no place there, it refuses a BDAT and takes the octets for commands. */
#ifndef GATE25_TESTS_SERVER_MODEL_H
#define GATE25_TESTS_SERVER_MODEL_H

#include <ctype.h>
#include <stdio.h>

#include "fuzz.h"

#define MODEL_REPLIES 256

enum model_mode { MODEL_COMMAND, MODEL_LINE, MODEL_BODY, MODEL_CHUNK, MODEL_BLOB, MODEL_TLS };

struct model {
    enum model_mode mode;
    uint64_t left; /* of a chunk or a blob */
    bool last;     /* the chunk ends a message */
    bool chunking, mute, barrier;
    unsigned taken;        /* recipients of this transaction */
    bool within;           /* a message's first chunks have come */
    bool failed;           /* one of them was refused: the others, pipelined, are thrown away */
    bool stuck;            /* nothing but RSET is accepted */
    bool prdr;             /* the MAIL asked for it */
    char body[4];          /* its last characters */
    unsigned mails, rcpts; /* executed */
    unsigned messages, recipients; /* accepted, and told so */
    char replies[MODEL_REPLIES];   /* to be told */
    size_t replies_len;
};

static void model_say(struct model *m, const char *reply)
{
    size_t len = strlen(reply);
    if (!m->mute) {
        require(len + m->replies_len <= sizeof m->replies);
        memcpy(m->replies + m->replies_len, reply, len);
        m->replies_len += len;
    }
}

static bool model_accepts(uint8_t choice)
{
    return choice % 4 < 2;
}

static bool model_has_room(const struct model *m, size_t more)
{
    return m->replies_len + more + 64 <= MODEL_REPLIES;
}

/* True: said yes, and heard. */
static bool model_decide(struct model *m, uint8_t choice, const char *yes)
{
    static const char *const no[] = {"550-no\r\n550 no\r\n", "450 later\r\n"};
    if (choice & 128 && model_has_room(m, 0)) {
        model_say(m, "050 a note\r\n");
    }
    model_say(m, model_accepts(choice) ? yes : no[choice % 2]);
    return model_accepts(choice) && !m->mute;
}

static void model_reset(struct model *m)
{
    m->taken = 0;
    m->within = m->failed = m->stuck = m->prdr = false;
}

/* All of the message is there: the replies to it. True: accepted. */
static bool model_message(struct model *m, uint8_t choice)
{
    if (m->prdr && choice & 64 && model_has_room(m, 16 + 8 * (size_t)m->taken)) {
        model_say(m, "353 go\r\n");
        for (unsigned i = 0; i < m->taken; i++) {
            model_say(m, (choice >> 3) + i & 1 ? "250 r\r\n" : "550 r\r\n");
        }
    }
    model_reset(m);
    return model_decide(m, choice, "250 got it\r\n");
}

static void model_ehlo(struct model *m, uint8_t choice)
{
    m->chunking = choice % 2 && !m->mute;
    model_say(
        m, m->chunking ? "250-mx\r\n250-CHUNKING\r\n250 X\r\n" : "250-CHUNKING hello\r\n250 X\r\n");
}

/* Behind the name: digits up to a blank or the end. */
static bool model_number(struct span s, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    while (i < s.len && isdigit((unsigned char)s.at[i]) && *out < 1ULL << 40) {
        *out = *out * 10 + (uint64_t)(s.at[i++] - '0');
    }
    bool ends = i == s.len || isspace((unsigned char)s.at[i]) || s.at[i] == '\0';
    return i > 0 && ends && *out <= INT32_MAX;
}

static void model_open(struct model *m, enum model_mode mode, const char *reply)
{
    model_say(m, reply);
    if (!m->mute) {
        m->mode = mode;
        memcpy(m->body, "\0\0\r\n", 4);
    }
}

static struct span model_word(struct span line, char verb[5])
{
    while (line.len > 0 && (isspace((unsigned char)line.at[0]) || line.at[0] == '\0' ||
                            (unsigned char)line.at[0] > '~')) {
        line = span_skip(line, 1);
    }
    memset(verb, 0, 5);
    for (size_t i = 0; i < 4 && i < line.len && isalpha((unsigned char)line.at[i]); i++) {
        verb[i] = (char)toupper((unsigned char)line.at[i]);
    }
    return line;
}

static bool model_is(struct span word, const char *name)
{
    size_t len = strlen(name);
    return span_starts_nocase(word, span_of(name)) &&
           (word.len == len || !isalpha((unsigned char)word.at[len]));
}

static bool model_blank(char c)
{
    return isspace((unsigned char)c) || c == '\0';
}

static void model_bdat(struct model *m, struct span line)
{
    require(m->chunking && model_number(span_skip(line, 5), &m->left));
    m->last = toupper((unsigned char)line.at[line.len - 1]) == 'T';
    if (m->stuck || (m->taken == 0 && !m->failed)) {
        model_say(m, "503 no\r\n");
    } else if (m->within && m->left == 0 && !m->last) {
        model_say(m, "504 no\r\n");
        m->stuck = true;
    } else {
        m->mode = MODEL_CHUNK;
    }
}

/* True: refused, as nothing but chunks may come now. */
static bool model_is_between(struct model *m, struct span line, struct span word)
{
    static const char *const allowed[] = {"RSET", "NOOP", "QUIT"};
    bool plain = model_is(word, "BDAT");
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        plain = plain || span_equal_nocase(line, span_of(allowed[i]));
    }
    m->stuck = m->stuck || (m->within && !plain);
    if (m->stuck && !model_is(word, "BDAT") && !model_is(word, "RSET")) {
        model_say(m, "503 no\r\n");
        return true;
    }
    if (!plain) {
        m->failed = false;
    }
    return false;
}

static bool model_wants_prdr(struct span line)
{
    bool verb = true;
    for (size_t start = 0, i = 0; i <= line.len; i++) {
        if (i < line.len && !model_blank(line.at[i])) {
            continue;
        }
        struct span word = {line.at + start, i - start};
        if (!verb && span_equal_nocase(word, SPAN_LITERAL("PRDR"))) {
            return true;
        }
        verb = verb && word.len == 0;
        start = i + 1;
    }
    return false;
}

static void model_mail(struct model *m, struct span line, uint8_t choice)
{
    m->mails++;
    if (model_decide(m, choice, "250 ok\r\n") || (m->mute && model_accepts(choice))) {
        model_reset(m);
        m->prdr = model_wants_prdr(line);
    }
}

static void model_unknown(struct model *m, struct span word, uint8_t choice)
{
    uint64_t size = 0;
    bool blob = span_starts_nocase(word, SPAN_LITERAL("XEXCH50"));
    if (blob) {
        word = span_skip(word, 7);
        while (word.len > 0 && (isspace((unsigned char)word.at[0]) || word.at[0] == '\0')) {
            word = span_skip(word, 1);
        }
        blob = model_number(word, &size);
    }
    if (choice % 4 == 0) {
        m->left = size;
        model_open(m, blob ? MODEL_BLOB : MODEL_BODY, "354 go\r\n");
    } else if (choice % 4 == 1 && !blob) {
        model_open(m, MODEL_LINE, "334 x\r\n");
    } else {
        model_say(m, choice % 4 == 2 ? "250 what\r\n" : "500 what\r\n");
    }
}

static bool model_starttls(struct model *m, uint8_t choice)
{
    if (choice % 2 && !m->mute) {
        model_say(m, "220 go\r\n");
        m->mode = MODEL_TLS;
        return true;
    }
    model_say(m, "454 no\r\n");
    return false;
}

/* What stands behind BURL: a place, blanks, and LAST. */
static bool model_is_last(struct span s)
{
    while (s.len > 0 && model_blank(s.at[0])) {
        s = span_skip(s, 1);
    }
    while (s.len > 0 && model_blank(s.at[s.len - 1])) {
        s.len--;
    }
    return s.len > 4 && model_blank(s.at[s.len - 5]) &&
           span_equal_nocase(span_skip(s, s.len - 4), SPAN_LITERAL("LAST"));
}

static void model_command(struct model *m, struct span line, uint8_t choice)
{
    char verb[5];
    struct span word = model_word(line, verb);
    require(!m->barrier); /* only a reply could have said what this is */
    if (model_is_between(m, line, word)) {
        return;
    }
    if (strstr("MAIL SEND SOML SAML", verb) && verb[3]) {
        model_mail(m, word, choice);
    } else if (strcmp(verb, "RCPT") == 0) {
        m->rcpts++;
        m->recipients += model_decide(m, choice, "250 ok\r\n");
        m->taken += model_accepts(choice);
    } else if (model_is(word, "BDAT")) {
        model_bdat(m, line);
    } else if (model_is(word, "BURL")) {
        bool last = model_is_last(span_skip(word, 4));
        bool accepted = last ? model_message(m, choice) : model_decide(m, choice, "250 ok\r\n");
        m->messages += accepted && last;
        m->taken = accepted ? m->taken : 0;
    } else if (model_is(word, "EHLO")) {
        model_reset(m);
        m->barrier = m->mute;
        model_ehlo(m, choice);
    } else if (model_is(word, "HELO")) {
        model_reset(m);
        m->chunking = false;
        model_say(m, "250 mx\r\n");
    } else if (model_is(word, "DATA")) {
        m->barrier = m->mute;
        if (choice % 2) {
            model_open(m, MODEL_BODY, "354 go\r\n");
        } else {
            model_say(m, "503 no\r\n");
        }
    } else if (model_is(word, "STARTTLS")) {
        m->barrier = m->mute;
        (void)model_starttls(m, choice);
    } else if (model_is(word, "RSET")) {
        model_reset(m);
        (void)model_decide(m, choice, "250 ok\r\n");
    } else if (
        model_is(word, "NOOP") || model_is(word, "VRFY") || model_is(word, "EXPN") ||
        model_is(word, "HELP") || model_is(word, "QUIT")) {
        (void)model_decide(m, choice, "250 ok\r\n");
    } else {
        m->barrier = m->mute;
        model_unknown(m, word, choice);
    }
}

/* A lenient server ends a message at a dot alone between any two line ends, or in front of NUL. */
static size_t model_body(struct model *m, struct span in, uint8_t choice)
{
    for (size_t i = 0; i < in.len; i++) {
        char c = in.at[i];
        bool dot = m->body[3] == '.' && (m->body[2] == '\r' || m->body[2] == '\n');
        bool strict = dot && m->body[1] == '\r' && m->body[2] == '\n';
        require(c != '\n' || m->body[3] == '\r');
        require(!dot || (c != '\n' && c != '\0' && (c != '\r' || strict)));
        bool end = c == '\n' && m->body[3] == '\r' && m->body[2] == '.' && m->body[1] == '\n';
        require(end || !(m->body[3] == '\r' && m->body[2] == '.' && m->body[1] == '\n'));
        memmove(m->body, m->body + 1, 3);
        m->body[3] = c;
        if (end) {
            m->mode = MODEL_COMMAND;
            bool accepted = model_message(m, choice);
            m->messages += accepted;
            return i + 1;
        }
    }
    return in.len;
}

static size_t model_octets(struct model *m, struct span in, uint8_t choice)
{
    size_t n = in.len < m->left ? in.len : (size_t)m->left;
    m->left -= n;
    if (m->left > 0) {
        return n;
    }
    bool chunk = m->mode == MODEL_CHUNK;
    m->mode = MODEL_COMMAND;
    if (!chunk) {
        model_say(m, "250 blob\r\n");
        return n;
    }
    if (m->failed) {
        model_say(m, "503 no\r\n");
        m->failed = !m->last;
    } else if (m->last) {
        bool accepted = model_message(m, choice);
        m->messages += accepted;
    } else {
        bool accepted = model_decide(m, choice, "250 chunk\r\n") || model_accepts(choice);
        m->within = accepted;
        m->failed = !accepted;
        m->taken = accepted ? m->taken : 0;
    }
    return n;
}

static size_t model_line(struct model *m, struct span in, uint8_t choice)
{
    const char *lf = memchr(in.at, '\n', in.len);
    if (!lf) {
        return 0;
    }
    size_t size = (size_t)(lf - in.at) + 1;
    require(size >= 2 && in.at[size - 2] == '\r');
    struct span line = {in.at, size - 2};
    while (line.len > 0 && line.at[line.len - 1] == '\r') {
        line.len--;
    }
    require(line.len == 0 || !memchr(line.at, '\r', line.len));
    if (m->mode == MODEL_LINE) {
        m->mode = MODEL_COMMAND;
        m->barrier = m->mute;
        model_unknown(m, SPAN_LITERAL("*"), choice);
    } else {
        model_command(m, line, choice);
    }
    return size;
}

/* One line, or as much as there is of a body. The bytes taken; 0: it waits for more. */
static size_t model_take(struct model *m, struct span in, uint8_t choice)
{
    switch (m->mode) {
    case MODEL_COMMAND:
    case MODEL_LINE:
        return in.len > 0 ? model_line(m, in, choice) : 0;
    case MODEL_BODY:
        return model_body(m, in, choice);
    case MODEL_CHUNK:
    case MODEL_BLOB:
        return model_octets(m, in, choice);
    case MODEL_TLS:
        break;
    }
    return 0;
}

#endif
