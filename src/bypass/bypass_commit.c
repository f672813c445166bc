/* Changes of the kernel's rules, one transaction each, and what is told of those that fail. */
#include <string.h>

#include "base/log.h"
#include "bypass_internal.h"

void bypass_fail(struct bypass *b, const char *doing, const char *why)
{
    char before[BYPASS_ERROR];
    struct text trouble;

    b->events[EVENT_FAILED]++;
    memcpy(before, b->trouble, sizeof(before));
    text_init(&trouble, b->trouble, sizeof(b->trouble));
    text_addf(&trouble, "%s: %s", doing, why);
    /* It is tried again every second. */
    if (strcmp(before, b->trouble) != 0) {
        log_error("%s", b->trouble);
    }
}

/* One of ours makes the generation one more. */
static void note_generation(struct bypass *b)
{
    uint32_t now;

    if (nft_dump_generation(b->dump, &now) != 0) {
        b->suspicious = true;
        return;
    }
    b->suspicious = b->suspicious || (now != b->generation && now != b->generation + 1);
    b->generation = now;
}

bool bypass_run(struct bypass *b, struct buf *commands, struct text *error)
{
    bool good = buf_append(commands, (struct span){"", 1}) == 0;

    if (!good) {
        text_addf(error, "out of memory");
    } else {
        nft_watch_listen(b->watch, false);
        good = nft_run_commands(b->run, buf_span(commands).at, error) == 0;
        nft_watch_listen(b->watch, true);
    }
    buf_clear(commands);
    note_generation(b);
    return good;
}

bool bypass_commit(struct bypass *b, struct buf *commands, const char *doing)
{
    char why[BYPASS_ERROR];
    struct text error;
    bool good;

    text_init(&error, why, sizeof(why));
    good = bypass_run(b, commands, &error);
    if (!good) {
        bypass_fail(b, doing, why);
    }
    return good;
}

bool bypass_commit_each(struct bypass *b, struct span lines, const char *doing)
{
    bool good = true;

    while (lines.len > 0) {
        const char *end = memchr(lines.at, '\n', lines.len);
        size_t len = end == NULL ? lines.len : (size_t)(end - lines.at) + 1;
        struct buf one = BUF_INIT;

        good = buf_append(&one, (struct span){lines.at, len}) == 0 &&
               bypass_commit(b, &one, doing) && good;
        buf_clear(&one);
        lines.at += len;
        lines.len -= len;
    }
    return good;
}
