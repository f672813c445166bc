/* Drives the pure dialog with every file of tests/transcripts: as written, byte by byte, with every
 * send in every two pieces; and cut at every byte of every send, where the sender then ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "unit/transcript_play.h"

#define TRANSCRIPTS "tests/transcripts/*.txt"
/* A send of many kilobytes repeats itself: its first bytes and its last ones will do. */
#define SPLITS 1000
#define CUTS   300
/* ... of one that is larger than this, very few. */
#define BULK      65536
#define BULK_MOST 16

static bool is_worth(size_t at, size_t size, size_t most)
{
    most = size > BULK ? BULK_MOST : most;
    return at < most || at + most > size;
}

/* The length of its longest send. */
static size_t play_split(const char *file, size_t split)
{
    static struct play p;
    play_init(&p, file, split);
    play_file(&p);
    play_fini(&p);
    return p.longest;
}

static void for_each_file(void (*play)(const char *file, size_t *plays))
{
    glob_t found;
    size_t plays = 0;
    assert_int_equal(glob(TRANSCRIPTS, 0, NULL, &found), 0);
    assert_true(found.gl_pathc > 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        play(found.gl_pathv[i], &plays);
    }
    print_message("%zu transcripts, played in %zu ways\n", found.gl_pathc, plays);
    globfree(&found);
}

static void play_splits(const char *file, size_t *plays)
{
    size_t longest = play_split(file, SPLIT_NONE);
    play_split(file, SPLIT_BYTES);
    *plays += 2;
    for (size_t split = 1; split < longest; split++) {
        if (is_worth(split, longest, SPLITS)) {
            play_split(file, split);
            ++*plays;
        }
    }
}

static void test_splits(void **state)
{
    (void)state;
    for_each_file(play_splits);
}

/* What arrived is what arrives in the whole play, as far as it goes. Behind it stands nothing but
 * what the gate says in its own name, to the client. */
static void check_prefix(struct play *p, struct wire *at, const struct wire *whole)
{
    struct span got = buf_span(&at->all);
    struct span all = buf_span(&whole->all);
    size_t same = 0;
    while (same < got.len && same < all.len && got.at[same] == all.at[same]) {
        same++;
    }
    while (same > 0 && same < got.len && got.at[same - 1] != '\n') {
        same--; /* the gate's reply may begin like the server's */
    }
    struct span own = span_skip(got, same);
    bool spoken = at == &p->client && own.len > 2 && (own.at[0] == '4' || own.at[0] == '5') &&
                  memmem(own.at, own.len, p->setup.case_id, strlen(p->setup.case_id));
    /* A line that the server did not finish goes out as it is, whatever it would have become. */
    bool unfinished = at == &p->client && p->cut == &p->server && !memchr(own.at, '\n', own.len);
    struct span said = buf_span(&p->server.sent); /* the 220 to STARTTLS, before what spoils it */
    bool plain = at == &p->client && got.len <= said.len && memcmp(got.at, said.at, got.len) == 0;
    if (own.len > 0 && !spoken && !unfinished && !plain) {
        blame(p, "received more or other than in the whole play", own);
    }
}

static void check_prefixes(struct play *p, const struct play *whole)
{
    check_prefix(p, &p->client, &whole->client);
    check_prefix(p, &p->server, &whole->server);
}

static void end_side(struct play *p, struct wire *w)
{
    if (!w->eof_sent) {
        w->eof_sent = true;
        on_bytes(p, w, SPAN_LITERAL(""));
    }
}

/* Stops in the middle of a send; then that side ends, then the other one. */
static void play_cut(const struct play *whole, const struct send *send, size_t at)
{
    static struct play p;
    play_init(&p, whole->file, SPLIT_NONE);
    p.cut_line = send->line;
    p.cut_at = at;
    play_file(&p);
    assert_non_null(p.cut);
    check_prefixes(&p, whole);
    end_side(&p, p.cut);
    check_prefixes(&p, whole);
    end_side(&p, p.cut == &p.client ? &p.server : &p.client);
    check_prefixes(&p, whole);
    if (p.dialog.connected && !p.closed && !p.opaque) {
        blame(&p, "both sides have ended, and it goes on", SPAN_LITERAL(""));
    }
    if (p.opaque && buf_len(&p.client.input) + buf_len(&p.server.input) > 0) {
        blame(&p, "opaque, and not all went on", SPAN_LITERAL(""));
    }
    play_fini(&p);
}

static void play_cuts(const char *file, size_t *plays)
{
    static struct play whole;
    play_init(&whole, file, SPLIT_NONE);
    play_file(&whole);
    for (unsigned i = 0; i < whole.sends; i++) {
        for (size_t at = 0; at <= whole.send[i].size; at++) {
            if (is_worth(at, whole.send[i].size, CUTS)) {
                play_cut(&whole, &whole.send[i], at);
                ++*plays;
            }
        }
    }
    play_fini(&whole);
}

static void test_cuts(void **state)
{
    (void)state;
    for_each_file(play_cuts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_splits), cmocka_unit_test(test_cuts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
