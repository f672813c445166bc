#include "svc/registrations.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/store_keys.h"
#include "svc/registration_codec.h"
#include "svc/registration_names.h"
#include "svc/standings.h"

#define ANSWER_MS 2000
#define NUMBER    24
#define ID        (PREFIX_TEXT + 200) /* accounts are longer than prefixes */
#define LIST_MOST 1000
/* What has ended is kept for the desk, and for who asks again, but not for ever. */
#define KEPT_S "7776000"

static struct span number(int64_t value, char out[NUMBER])
{
    snprintf(out, NUMBER, "%" PRId64, value);
    return span_of(out);
}

/* --- reading --- */

struct reading {
    registrations_seen_cb seen;
    void *context;
};

static void on_read(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct reading *g = context;
    struct reading to = *g;
    struct registration_seen seen = {.found = false};
    struct span class;
    struct text t;

    (void)ticket;
    free(g);
    if (!reply || redis_reply_count(reply) != 2 ||
        !redis_reply_text(redis_reply_at(reply, 0), &class)) {
        to.seen(to.context, NULL);
        return;
    }
    text_init(&t, seen.class, sizeof(seen.class));
    text_add(&t, class);
    seen.found = registration_decode(redis_reply_at(reply, 1), &seen.registration);
    to.seen(to.context, &seen);
}

void registrations_read(
    struct redis *redis, struct span id, registrations_seen_cb seen, void *context)
{
    char registration[STORE_KEY], standing[STORE_KEY];
    struct span words[] = {
        SPAN_LITERAL("FCALL_RO"), SPAN_LITERAL("gate25_registration_read"), SPAN_LITERAL("2"),
        store_key(STORE_KEY_REGISTRATION, id, registration),
        store_key(STORE_KEY_STANDING, id, standing)};
    struct reading *g = malloc(sizeof(*g));

    if (g) {
        *g = (struct reading){seen, context};
    }
    if (!g || redis_call(redis, words, 5, ANSWER_MS, on_read, g, 0) != 0) {
        free(g);
        seen(context, NULL);
    }
}

/* --- writing --- */

struct writing {
    struct redis *redis;
    registrations_written_cb written;
    void *context;
    char id[ID];
    struct registration now;
    struct registration_effects effects;
    int64_t due_s, now_s;
};

static void place(struct redis *redis, const char *list, struct span id, int64_t score)
{
    char text[NUMBER];
    struct span add[] = {SPAN_LITERAL("ZADD"), span_of(list), number(score, text), id};
    struct span remove[] = {SPAN_LITERAL("ZREM"), span_of(list), id};

    (void)(score > 0 ? redis_call(redis, add, 4, ANSWER_MS, NULL, NULL, 0) : redis_call(redis, remove, 3, ANSWER_MS, NULL, NULL, 0));
}

static void write_lists(
    struct redis *redis, struct span id, const struct registration *r, int64_t due_s)
{
    bool pending = r->state == REGISTRATION_PENDING;

    place(redis, STORE_PENDING, id, pending ? r->confirmed_s : 0);
    registration_names_add(redis, id, r);
    /* The last one: until here, a crash leaves it due. */
    place(redis, STORE_REGISTRATIONS, id, due_s);
}

static void end(struct writing *w, enum registrations_written result)
{
    registrations_written_cb written = w->written;
    void *context = w->context;

    free(w);
    written(context, result);
}

static void on_published(void *context, bool ok, struct span error)
{
    struct writing *w = context;

    if (!ok) {
        /* It stays due, and is repaired. */
        log_warning("registration of %s: %.*s", w->id, (int)error.len, error.at);
        end(w, REGISTRATIONS_FAILED);
        return;
    }
    write_lists(w->redis, span_of(w->id), &w->now, w->due_s);
    end(w, REGISTRATIONS_WRITTEN);
}

static struct standing standing_of(const struct writing *w)
{
    bool given = w->effects.standing == STANDING_GIVEN;

    return (struct standing){
        .id = span_of(w->id),
        .class = given ? span_of(w->now.class) : SPAN_LITERAL(""),
        .since_s = w->now_s,
        .until_s = given ? w->now.until_s : 0,
        .by = span_of(w->now.by),
        .reason = given ? span_of(w->now.request.reason) : span_of(w->now.why),
        .verb = span_of(w->effects.verb)};
}

static void on_written(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct writing *w = context;
    struct span message = SPAN_LITERAL("Redis did not answer");
    int64_t version;

    (void)ticket;
    if (!reply || redis_reply_is_error(reply, &message) || !redis_reply_integer(reply, &version)) {
        log_warning("registration of %s: %.*s", w->id, (int)message.len, message.at);
        end(w, REGISTRATIONS_FAILED);
    } else if (version == 0) {
        end(w, REGISTRATIONS_CHANGED);
    } else if (w->effects.standing == STANDING_STAYS) {
        write_lists(w->redis, span_of(w->id), &w->now, w->due_s);
        end(w, REGISTRATIONS_WRITTEN);
    } else {
        struct standing s = standing_of(w);
        standings_publish(w->redis, &s, ANSWER_MS, on_published, w);
    }
}

struct command {
    size_t count;
    struct span at[16 + 2 * REGISTRATION_WORDS];
};

static void add(struct command *c, struct span word)
{
    c->at[c->count++] = word;
}

static void add_words(struct command *c, const struct registration_words *w)
{
    for (size_t i = 0; i < w->count; i++) {
        add(c, w->at[i]);
    }
}

static void standing_words(const struct writing *w, struct registration_words *out)
{
    struct standing s = standing_of(w);

    registration_words_init(out);
    if (s.class.len == 0) {
        return;
    }
    /* The reason and the note of a standing are operators'; the customer's own words stand in the
     * registration. */
    registration_words_add(out, "class", s.class);
    registration_words_add(out, "by", s.by);
    registration_words_add(out, "reason", span_of(w->now.why));
    registration_words_add(out, "contact", span_of(w->now.request.contact));
    registration_words_add(out, "domain", span_of(w->now.request.domain));
}

static int send_write(struct writing *w, const struct registration_change *change)
{
    static const char *const operations[] = {
        [STANDING_STAYS] = "keep", [STANDING_GIVEN] = "set", [STANDING_TAKEN] = "remove"};
    char key[3][STORE_KEY], version[NUMBER], since[NUMBER], until[NUMBER], about[NUMBER];
    struct registration_words standing, registration;
    struct command c = {.count = 0};
    struct span id = span_of(w->id);
    bool ended = w->now.state >= REGISTRATION_REFUSED;

    standing_words(w, &standing);
    if (standing.count > 0) {
        registration_words_add(&standing, "since", number(w->now_s, since));
        registration_words_add(&standing, "until", number(w->now.until_s, until));
    }
    registration_words_init(&registration);
    registration_words_of(&registration, &w->now);
    add(&c, SPAN_LITERAL("FCALL"));
    add(&c, SPAN_LITERAL("gate25_registration_write"));
    add(&c, SPAN_LITERAL("3"));
    add(&c, store_key(STORE_KEY_REGISTRATION, id, key[0]));
    add(&c, store_key(STORE_KEY_STANDING, id, key[1]));
    add(&c, store_key(STORE_KEY_METER, id, key[2]));
    add(&c, number((int64_t)change->seen->registration.version, version));
    add(&c, span_of(change->seen->class));
    add(&c, ended ? SPAN_LITERAL(KEPT_S) : SPAN_LITERAL("0"));
    add(&c, span_of(operations[w->effects.standing]));
    add(&c, number((int64_t)standing.count, about));
    add_words(&c, &standing);
    add_words(&c, &registration);
    return redis_call(w->redis, c.at, c.count, ANSWER_MS, on_written, w, 0);
}

void registrations_write(
    struct redis *redis, const struct registration_change *change, registrations_written_cb written,
    void *context)
{
    struct writing *w = malloc(sizeof(*w));
    struct text t;

    if (!w) {
        written(context, REGISTRATIONS_FAILED);
        return;
    }
    *w = (struct writing){
        .redis = redis,
        .written = written,
        .context = context,
        .now = *change->now,
        .effects = *change->effects,
        .due_s = change->due_s,
        .now_s = change->now_s};
    text_init(&t, w->id, sizeof(w->id));
    text_add(&t, change->id);
    place(redis, STORE_REGISTRATIONS, change->id, change->now_s);
    if (t.cut || send_write(w, change) != 0) {
        end(w, REGISTRATIONS_FAILED);
    }
}

/* --- repairing --- */

struct repair {
    struct redis *redis;
    char id[ID];
    struct registration_seen seen;
    int64_t due_s, now_s;
};

static void on_repaired(void *context, bool ok, struct span error)
{
    struct repair *p = context;

    (void)error;
    if (ok) {
        write_lists(p->redis, span_of(p->id), &p->seen.registration, p->due_s);
    }
    free(p);
}

static void on_index(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct repair *p = context;
    const struct registration *r = &p->seen.registration;
    bool ours = registration_is_active(r->state) && strcmp(p->seen.class, r->class) == 0;
    struct span value, class = {"", 0}, message;
    int64_t until_s = 0;
    bool known =
        reply && redis_reply_text(reply, &value) && standing_parse(value, &class, &until_s);

    (void)ticket;
    if (!reply || redis_reply_is_error(reply, &message)) {
        free(p);
        return;
    }
    /* The list has to say what the standing says; but only what this registration has put there is
     * ours to change. */
    struct standing s = {
        .id = span_of(p->id),
        .class = span_of(ours ? r->class : ""),
        .since_s = p->now_s,
        .until_s = ours ? r->until_s : 0,
        .by = span_of(r->by),
        .verb = ours ? SPAN_LITERAL("register") : SPAN_LITERAL("withdraw")};
    bool lost = ours && (!known || !span_equal(class, s.class) || until_s != r->until_s);
    bool left = !ours && p->seen.class[0] == '\0' && known && r->class[0] != '\0' &&
                span_equal(class, span_of(r->class));
    if (lost || left) {
        standings_publish(p->redis, &s, ANSWER_MS, on_repaired, p);
    } else {
        on_repaired(p, true, (struct span){0});
    }
}

void registrations_repair(
    struct redis *redis, struct span id, const struct registration_seen *seen, int64_t due_s,
    int64_t now_s)
{
    struct repair *p = malloc(sizeof(*p));
    struct span words[] = {SPAN_LITERAL("HGET"), SPAN_LITERAL(STORE_STANDINGS), id};
    struct text t;

    if (!p) {
        return;
    }
    *p = (struct repair){.redis = redis, .seen = *seen, .due_s = due_s, .now_s = now_s};
    text_init(&t, p->id, sizeof(p->id));
    text_add(&t, id);
    if (t.cut || redis_call(redis, words, 3, ANSWER_MS, on_index, p, 0) != 0) {
        free(p);
    }
}

/* --- listing --- */

struct listing {
    registrations_list_cb list;
    void *context;
};

static void on_list(void *context, uint64_t ticket, const struct redis_reply *reply)
{
    struct listing *g = context;
    struct listing to = *g;
    struct span ids[LIST_MOST], message;
    size_t used = 0;

    (void)ticket;
    free(g);
    if (!reply || redis_reply_is_error(reply, &message)) {
        to.list(to.context, NULL, 0, false);
        return;
    }
    for (size_t i = 0; i < redis_reply_count(reply) && used < LIST_MOST; i++) {
        used += redis_reply_text(redis_reply_at(reply, i), &ids[used]);
    }
    to.list(to.context, ids, used, true);
}

static void list(
    struct redis *redis, const struct span *words, size_t count, registrations_list_cb callback,
    void *context)
{
    struct listing *g = malloc(sizeof(*g));

    if (g) {
        *g = (struct listing){callback, context};
    }
    if (!g || redis_call(redis, words, count, ANSWER_MS, on_list, g, 0) != 0) {
        free(g);
        callback(context, NULL, 0, false);
    }
}

void registrations_list_due(
    struct redis *redis, int64_t now_s, unsigned most, registrations_list_cb callback,
    void *context)
{
    char now[NUMBER], limit[NUMBER];
    struct span words[] = {SPAN_LITERAL("ZRANGE"),  SPAN_LITERAL(STORE_REGISTRATIONS),
                           SPAN_LITERAL("-inf"),    number(now_s, now),
                           SPAN_LITERAL("BYSCORE"), SPAN_LITERAL("LIMIT"),
                           SPAN_LITERAL("0"),       number(most, limit)};

    list(redis, words, sizeof(words) / sizeof(*words), callback, context);
}

void registrations_list_pending(
    struct redis *redis, unsigned first, unsigned most, registrations_list_cb callback,
    void *context)
{
    char from[NUMBER], to[NUMBER];
    struct span words[] = {
        SPAN_LITERAL("ZRANGE"), SPAN_LITERAL(STORE_PENDING), number(first, from),
        number((int64_t)first + most - 1, to)};

    list(redis, words, sizeof(words) / sizeof(*words), callback, context);
}
