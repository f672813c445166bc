#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/str.h"

#define LOG_LINE 1024

/* Set once at start-up, before any other thread or process exists. */
static struct {
    const char *program;
    enum log_level most;
    bool journald;
} log_state = {"gate25", LOG_LEVEL_INFO, false};

static const struct {
    const char *word;
    const char *sd_prefix; /* sd-daemon(3) */
} levels[] = {
    [LOG_LEVEL_ERROR] = {"error: ", "<3>"},
    [LOG_LEVEL_WARNING] = {"warning: ", "<4>"},
    [LOG_LEVEL_INFO] = {"", "<6>"},
    [LOG_LEVEL_DEBUG] = {"debug: ", "<7>"},
};

void log_open(const char *program, enum log_level most)
{
    log_state.program = program;
    log_state.most = most;
    log_state.journald = getenv("JOURNAL_STREAM") != NULL;
}

static void add_escaped(struct text *line, const char *message)
{
    for (const unsigned char *c = (const unsigned char *)message; *c; c++) {
        if (*c >= 0x20 && *c < 0x7f) {
            text_add(line, (struct span){(const char *)c, 1});
        } else {
            text_addf(line, "\\x%02x", *c);
        }
    }
}

void log_line(enum log_level level, const char *format, ...)
{
    if (level > log_state.most) {
        return;
    }
    char message[LOG_LINE];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);

    char array[LOG_LINE + 128];
    struct text line;
    text_init(&line, array, sizeof array - 1);
    if (log_state.journald) {
        text_add(&line, span_of(levels[level].sd_prefix));
    } else {
        text_addf(&line, "%s[%ld]: ", log_state.program, (long)getpid());
    }
    text_add(&line, span_of(levels[level].word));
    add_escaped(&line, message);
    array[line.len] = '\n';
    if (write(STDERR_FILENO, array, line.len + 1) < 0) {
        return; /* nobody is left to be told */
    }
}
