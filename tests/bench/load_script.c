#include "bench/load_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/words.h"

#define LITERAL(text)                                                                              \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
#define LINE_LENGTH 74 /* its end among it */
#define LAST_LINE   ".\r\n"
#define COMMAND_MAX 64

static const char header[] = "From: <load@client.example>\r\n"
                             "To: <user1@mx.example>\r\n"
                             "Subject: load\r\n"
                             "\r\n";

static const char line_end[] = {'\r', '\n'};

const struct text script_ehlo = LITERAL("EHLO client.example\r\n");
const struct text script_starttls = LITERAL("STARTTLS\r\n");
const struct text script_quit = LITERAL("QUIT\r\n");

static void *allocate(size_t size)
{
    void *at = malloc(size);

    if (!at) {
        words_failed("cannot prepare the message");
    }
    return at;
}

/* Whole lines of what no server looks at, `size` bytes of them. */
static void fill(char *at, size_t size)
{
    while (size > 0) {
        /* A line's end needs two bytes: none is cut so that one is left. */
        size_t length = size <= LINE_LENGTH + sizeof line_end ? size : LINE_LENGTH;
        memset(at, 'x', length - sizeof line_end);
        memcpy(at + length - sizeof line_end, line_end, sizeof line_end);
        at += length;
        size -= length;
    }
}

static struct text make_message(size_t size)
{
    size_t length = size + sizeof LAST_LINE - 1;
    char *at = allocate(length);
    /* In a message too small for a header and a line, there is none. */
    size_t head = size >= sizeof header + 1 ? sizeof header - 1 : 0;

    memcpy(at, header, head);
    fill(at + head, size - head);
    memcpy(at + size, LAST_LINE, sizeof LAST_LINE - 1);
    return (struct text){at, length};
}

static struct text joined(struct text a, struct text b)
{
    char *at = allocate(a.length + b.length);

    memcpy(at, a.at, a.length);
    memcpy(at + a.length, b.at, b.length);
    return (struct text){at, a.length + b.length};
}

static void make_envelope(struct script *script, uint32_t recipients)
{
    char *at = allocate((size_t)(recipients + 2) * COMMAND_MAX);

    script->command = allocate((recipients + 2) * sizeof *script->command);
    script->envelope = (struct text){at, 0};
    for (uint32_t i = 0; i < recipients + 2; i++) {
        int length;
        if (i == 0) {
            length = snprintf(at, COMMAND_MAX, "MAIL FROM:<load@client.example>\r\n");
        } else if (i <= recipients) {
            length = snprintf(at, COMMAND_MAX, "RCPT TO:<user%u@mx.example>\r\n", i);
        } else {
            length = snprintf(at, COMMAND_MAX, "DATA\r\n");
        }
        script->command[i] = (struct text){at, (size_t)length};
        script->envelope.length += (size_t)length;
        at += length;
    }
}

void script_init(struct script *script, uint32_t recipients, size_t size)
{
    make_envelope(script, recipients);
    script->message = make_message(size);
    script->message_more = joined(script->message, script->envelope);
    script->message_quit = joined(script->message, script_quit);
}
