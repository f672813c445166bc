#include "bench/sink_dialog.h"

#include <ctype.h>
#include <string.h>

#define EHLO_WORDS "250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n"

static const char ehlo_clear[] = EHLO_WORDS "250 ENHANCEDSTATUSCODES\r\n";
static const char ehlo_tls[] = EHLO_WORDS "250-STARTTLS\r\n250 ENHANCEDSTATUSCODES\r\n";
static const char hello[] = "250 sink.example\r\n";
static const char ok[] = "250 2.0.0 Ok\r\n";
static const char sender_ok[] = "250 2.1.0 Ok\r\n";
static const char recipient_ok[] = "250 2.1.5 Ok\r\n";
static const char go_on[] = "354 End data with <CR><LF>.<CR><LF>\r\n";
static const char queued[] = "250 2.0.0 Ok: queued\r\n";
static const char tls_ready[] = "220 2.0.0 Ready\r\n";
static const char bye[] = "221 2.0.0 Bye\r\n";
static const char out_of_order[] = "503 5.5.1 Out of order\r\n";
static const char unknown[] = "502 5.5.2 What?\r\n";

#define SAY(replies, text) say(replies, text, sizeof(text) - 1)

static void say(struct replies *replies, const char *text, size_t length)
{
    memcpy(replies->at + replies->length, text, length);
    replies->length += length;
}

static void forget_mail(struct sink_dialog *d)
{
    d->has_mail = false;
    d->recipients = 0;
}

static void on_ehlo(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    forget_mail(d);
    if (d->offers_tls) {
        SAY(replies, ehlo_tls);
    } else {
        SAY(replies, ehlo_clear);
    }
}

static void on_helo(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    forget_mail(d);
    SAY(replies, hello);
}

static void on_starttls(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    if (!d->offers_tls) {
        SAY(replies, unknown);
        return;
    }
    d->state = DIALOG_STARTS_TLS;
    SAY(replies, tls_ready);
}

static void on_mail(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    if (d->has_mail) {
        SAY(replies, out_of_order);
        return;
    }
    d->has_mail = true;
    SAY(replies, sender_ok);
}

static void on_rcpt(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    if (!d->has_mail) {
        SAY(replies, out_of_order);
        return;
    }
    d->recipients++;
    counts->recipients++;
    SAY(replies, recipient_ok);
}

static void on_data(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    if (d->recipients == 0) {
        SAY(replies, out_of_order);
        return;
    }
    d->state = DIALOG_TEXT;
    d->text = 0;
    dot_begin(&d->dot);
    SAY(replies, go_on);
}

static void on_rset(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    forget_mail(d);
    SAY(replies, ok);
}

static void on_noop(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)d, (void)counts;
    SAY(replies, ok);
}

static void on_quit(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    (void)counts;
    d->state = DIALOG_QUIT;
    SAY(replies, bye);
}

/* The most frequent first. */
static const struct verb {
    const char *name;
    void (*take)(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts);
} verbs[] = {
    {"RCPT", on_rcpt}, {"MAIL", on_mail}, {"DATA", on_data},
    {"EHLO", on_ehlo}, {"QUIT", on_quit}, {"RSET", on_rset},
    {"NOOP", on_noop}, {"HELO", on_helo}, {"STARTTLS", on_starttls},
};

static bool is_verb(const struct sink_dialog *d, const char *name)
{
    size_t length = strlen(name);

    return d->head_length > length && strncasecmp(d->head, name, length) == 0 &&
           isspace((unsigned char)d->head[length]);
}

static void take_command(struct sink_dialog *d, struct replies *replies, struct sink_counts *counts)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (is_verb(d, verbs[i].name)) {
            verbs[i].take(d, replies, counts);
            return;
        }
    }
    SAY(replies, unknown);
}

/* Only the beginning of a command matters, so that no line is ever kept. */
static size_t take_line(
    struct sink_dialog *d, const char *bytes, size_t length, struct replies *replies,
    struct sink_counts *counts)
{
    const char *newline = memchr(bytes, '\n', length);
    size_t taken = newline ? (size_t)(newline + 1 - bytes) : length;
    size_t room = sizeof d->head - d->head_length;
    size_t kept = taken < room ? taken : room;

    memcpy(d->head + d->head_length, bytes, kept);
    d->head_length = (uint8_t)(d->head_length + kept);
    if (newline) {
        take_command(d, replies, counts);
        d->head_length = 0;
    }
    return taken;
}

static size_t take_text(
    struct sink_dialog *d, const char *bytes, size_t length, struct replies *replies,
    struct sink_counts *counts)
{
    bool ended;
    size_t taken = dot_scan(&d->dot, bytes, length, &ended);

    d->text += taken;
    if (ended) {
        counts->messages++;
        counts->bytes += d->text - DOT_LENGTH;
        d->state = DIALOG_COMMANDS;
        forget_mail(d);
        SAY(replies, queued);
    }
    return taken;
}

void dialog_begin(struct sink_dialog *d, bool offers_tls)
{
    *d = (struct sink_dialog){.offers_tls = offers_tls};
}

void dialog_take(
    struct sink_dialog *d, const char *bytes, size_t length, struct replies *replies,
    struct sink_counts *counts)
{
    const char *end = bytes + length;

    while (bytes < end && (d->state == DIALOG_COMMANDS || d->state == DIALOG_TEXT)) {
        size_t left = (size_t)(end - bytes);
        bytes += d->state == DIALOG_TEXT ? take_text(d, bytes, left, replies, counts)
                                         : take_line(d, bytes, left, replies, counts);
    }
}
