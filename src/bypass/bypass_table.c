/* The table: making it, adopting an older one, noticing what others have done to it. */
#include <string.h>

#include "base/log.h"
#include "bypass/bypass_rules.h"
#include "bypass_internal.h"
#include "net/clock.h"

#define SYNC_MS   1000 /* between two looks into the sets because of others' changes ... */
#define SYNC_PART 20   /* ... and no more than one part of this many of the time is spent so */

/* Is there a table that can be used further? `replace`: there is one that cannot. */
static bool can_adopt(struct bypass *b, bool *replace)
{
    char form[BYPASS_FORM];
    struct nft_table found;

    bypass_form(b->conf, b->mode, form);
    *replace = nft_dump_table(b->dump, BYPASS_TABLE, &found) == 0;
    if (*replace && strcmp(found.comment, form) == 0) {
        *replace = false;
        return true;
    }
    return false;
}

/* The table is about to be replaced. To a packet that is still under way in its rules then, its
 * maps are empty: let by is what belongs to an open connection, as in the new one while that is
 * filled. A table that cannot be told so is none of ours. */
static void make_way(struct bypass *b)
{
    struct buf commands = BUF_INIT;
    char why[BYPASS_ERROR];
    struct text error;

    text_init(&error, why, sizeof(why));
    if (bypass_rules_filling(true, &commands) == 0) {
        (void)bypass_run(b, &commands, &error);
    }
    buf_clear(&commands);
}

static bool write_table(struct bypass *b, bool adopt, bool replace)
{
    struct buf commands = BUF_INIT;

    if (replace) {
        make_way(b);
    }
    b->beat_ms = clock_monotonic_ms();
    bool good = bypass_rules_write(b->conf, b->mode, replace, &commands) == 0 &&
                bypass_rules_beat(b->conf->bypass.hold_ms, &commands) == 0 &&
                (adopt || bypass_rules_filling(true, &commands) == 0) &&
                bypass_commit(b, &commands, "making the table");

    buf_clear(&commands);
    return good;
}

static bool make_table(struct bypass *b)
{
    bool replace, adopt = can_adopt(b, &replace), good = write_table(b, adopt, replace);

    if (!good && adopt) {
        /* Somebody has made something in it that ours cannot be beside. */
        adopt = false;
        good = write_table(b, adopt, true);
    }
    if (!good || nft_dump_table(b->dump, BYPASS_TABLE, &b->table) != 0) {
        return false;
    }
    if (!adopt) {
        b->events[EVENT_MADE]++;
        b->filling = true;
        for (size_t i = 0; i < BYPASS_COUNTS; i++) {
            b->carried[i] += b->kernel[i];
            b->kernel[i] = 0;
        }
        /* What an older table holds is worth as much as the copy on disk, a new one is empty. */
        b->known = b->known || registry_size(b->registry) > 0;
        log_info("the table inet " BYPASS_TABLE " is made");
    }
    return true;
}

/* One of them may go by itself meanwhile: that must not keep the others. */
static void remove_strays(struct bypass *b)
{
    static const char doing[] = "taking out what others have put into the sets";
    struct buf all = BUF_INIT;

    if (buf_len(&b->strays) == 0) {
        return;
    }
    if ((buf_append(&all, buf_span(&b->strays)) != 0 || !bypass_commit(b, &all, doing)) &&
        !bypass_commit_each(b, buf_span(&b->strays), doing)) {
        b->refused = b->suspicious = true;
    } else {
        log_warning("what others had put into the sets of " BYPASS_TABLE " was taken out");
    }
    buf_clear(&all);
    buf_clear(&b->strays);
}

void bypass_sync(struct bypass *b)
{
    int64_t began_ms = clock_monotonic_ms();

    bypass_stop_work(b);
    b->suspicious = b->refused = false;
    b->stands = make_table(b) && bypass_read(b);
    if (b->stands) {
        bypass_fast_beat(b);
        remove_strays(b);
    }
    b->fast.doubtful = true;
    b->sync_ms = clock_monotonic_ms();
    b->sync_took_ms = b->sync_ms - began_ms;
    b->dirty = true;
    if (b->stands && !b->refused) {
        b->trouble[0] = '\0';
    }
}

void bypass_look(struct bypass *b)
{
    struct nft_table found;
    uint32_t now;

    if (nft_dump_generation(b->dump, &now) == 0 && now != b->generation) {
        b->generation = now;
        b->events[EVENT_FOREIGN]++;
        b->suspicious = true;
    }
    if (!b->suspicious) {
        return;
    }
    if (nft_dump_table(b->dump, BYPASS_TABLE, &found) != 0 || found.handle != b->table.handle) {
        log_warning("somebody has removed the table inet " BYPASS_TABLE);
        bypass_sync(b);
    } else if (
        clock_monotonic_ms() - b->sync_ms >= SYNC_MS + SYNC_PART * b->sync_took_ms && !b->working) {
        bypass_sync(b);
    }
}

void bypass_beat(struct bypass *b)
{
    struct buf commands = BUF_INIT;

    b->beat_ms = clock_monotonic_ms();
    if (bypass_rules_beat(b->conf->bypass.hold_ms, &commands) == 0 &&
        bypass_commit(b, &commands, "saying that we live")) {
        bypass_fast_beat(b);
    } else {
        b->stands = false;
    }
    buf_clear(&commands);
}
