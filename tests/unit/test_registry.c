#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/log.h"
#include "svc/meter.h"
#include "svc/registry.h"
#include "svc/standings.h"
#include "unit/real_redis.h"

#define CLASSES 3

/* A Redis, the mirror of it, and a connection through which the test changes things. */
struct place {
    struct event_base *base;
    struct real_redis server;
    struct redis *redis;
    struct conf conf;
    struct conf_class classes[CLASSES];
    char copy[128];
    struct registry *registry;
};

static void make_conf(struct place *p)
{
    static const char *const names[CLASSES] = {"ordinary", "registered", "quarantined"};

    for (size_t i = 0; i < CLASSES; i++) {
        snprintf(p->classes[i].name, CONF_NAME, "%s", names[i]);
    }
    snprintf(p->copy, sizeof(p->copy), "%s/copy", p->server.folder);
    p->conf = (struct conf){
        .ipv6_unit = 56,
        .redis = p->server.where,
        .classes = p->classes,
        .class_count = CLASSES,
        .registry_copy = p->copy,
        .references = 1};
}

static void connect_test(struct place *p)
{
    const struct redis_options options = {.where = &p->server.where};

    p->redis = redis_new(p->base, &options);
    assert_non_null(p->redis);
    assert_true(real_redis_until(p->base, real_redis_is_up, p->redis));
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof(*p));

    log_open("test", LOG_LEVEL_ERROR);
    p->base = event_base_new();
    real_redis_start(&p->server);
    make_conf(p);
    connect_test(p);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    registry_free(p->registry);
    redis_free(p->redis);
    event_base_free(p->base);
    char leases[160];
    snprintf(leases, sizeof(leases), "%s.leases", p->copy);
    unlink(leases);
    unlink(p->copy);
    real_redis_end(&p->server);
    free(p);
    return 0;
}

static void open_registry(struct place *p, bool keeper)
{
    p->registry = registry_new(p->base, &p->conf, keeper);
    assert_non_null(p->registry);
}

static void close_registry(struct place *p)
{
    registry_free(p->registry);
    p->registry = NULL;
}

static bool is_current(const void *context)
{
    return registry_is_current(((const struct place *)context)->registry);
}

static bool is_not_current(const void *context)
{
    return !is_current(context);
}

static void wait_current(struct place *p)
{
    assert_true(real_redis_until(p->base, is_current, p));
}

/* --- writing --- */

struct outcome {
    bool came, ok;
};

static void on_done(void *context, bool ok, struct span error)
{
    struct outcome *o = context;

    (void)error;
    *o = (struct outcome){true, ok};
}

static bool outcome_came(const void *context)
{
    return ((const struct outcome *)context)->came;
}

static void set_standing(struct place *p, const char *id, const char *class, int64_t until_s)
{
    struct outcome o = {0};
    const struct standing s = {
        .id = span_of(id),
        .class = span_of(class),
        .since_s = 1,
        .until_s = until_s,
        .by = SPAN_LITERAL("test"),
        .reason = SPAN_LITERAL("two words")};

    standings_set(p->redis, &s, REAL_REDIS_PATIENCE_MS, on_done, &o);
    assert_true(real_redis_until(p->base, outcome_came, &o));
    assert_true(o.ok);
}

static void remove_standing(struct place *p, const char *id)
{
    struct outcome o = {0};
    const struct standing s = {.id = span_of(id), .since_s = 2};

    standings_remove(p->redis, &s, REAL_REDIS_PATIENCE_MS, on_done, &o);
    assert_true(real_redis_until(p->base, outcome_came, &o));
    assert_true(o.ok);
}

/* --- looking --- */

static const char *class_at(const struct place *p, const char *address, int64_t now_s)
{
    struct registry_entry entry;
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    registry_find(p->registry, &p->conf, &a, now_s, &entry);
    return entry.class->name;
}

struct expected {
    struct place *place;
    const char *address, *class;
};

static bool has_class(const void *context)
{
    const struct expected *e = context;

    return strcmp(class_at(e->place, e->address, 1000), e->class) == 0;
}

static void wait_class(struct place *p, const char *address, const char *class)
{
    struct expected e = {p, address, class};

    assert_true(real_redis_until(p->base, has_class, &e));
}

static void assert_unit(
    const struct place *p, const char *address, int64_t now_s, const char *unit, bool standing)
{
    struct registry_entry entry;
    char text[PREFIX_TEXT];
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    registry_find(p->registry, &p->conf, &a, now_s, &entry);
    prefix_format(&entry.unit, text);
    assert_string_equal(text, unit);
    assert_int_equal(entry.standing, standing);
}

/* --- tests --- */

static void scans_what_is_there(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    /* None of these can be used. */
    real_redis_ask(p->base, p->redis, &a, "HSET g25:standings 192.0.2.8 registered");
    set_standing(p, "Account", "registered", 0);
    set_standing(p, "192.0.2", "registered", 0);
    set_standing(p, "account", "registered", 0);
    set_standing(p, "192.0.2.7", "registered", 0);
    set_standing(p, "2001:db8:0:100::/56", "quarantined", 0);
    open_registry(p, false);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "ordinary");
    wait_current(p);
    assert_int_equal(registry_size(p->registry), 3);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    assert_string_equal(class_at(p, "2001:db8:0:1ff::1", 1000), "quarantined");
    assert_string_equal(class_at(p, "2001:db8:0:200::1", 1000), "ordinary");
    assert_unit(p, "2001:db8:0:1ff::1", 1000, "2001:db8:0:100::/56", true);
    assert_unit(p, "2001:db8:0:2ff::1", 1000, "2001:db8:0:200::/56", false);
}

static void scans_more_than_one_page(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    for (unsigned i = 0; i < 60; i++) {
        char line[2048];
        struct text t;

        text_init(&t, line, sizeof(line));
        for (unsigned k = 0; k < 29; k++) {
            text_addf(&t, " 10.0.%u.%u CLASS", i, k);
        }
        /* Values with a blank cannot be written by words: a script puts it in. */
        real_redis_ask(
            p->base, p->redis, &a,
            "EVAL "
            "for\ti=1,#ARGV,2\tdo\tredis.call('HSET','g25:standings',ARGV[i],'registered\\0320')"
            "\tend\treturn\t1 0%s",
            line);
        assert_string_equal(a.text, "1");
    }
    open_registry(p, false);
    wait_current(p);
    assert_int_equal(registry_size(p->registry), 60 * 29);
    assert_string_equal(class_at(p, "10.0.59.28", 1000), "registered");
}

static void follows_changes(void **state)
{
    struct place *p = *state;

    open_registry(p, false);
    wait_current(p);
    set_standing(p, "192.0.2.7", "registered", 0);
    wait_class(p, "192.0.2.7", "registered");
    set_standing(p, "192.0.2.7", "quarantined", 0);
    wait_class(p, "192.0.2.7", "quarantined");
    remove_standing(p, "192.0.2.7");
    wait_class(p, "192.0.2.7", "ordinary");
    assert_int_equal(registry_size(p->registry), 0);
    assert_true(registry_is_current(p->registry));
}

static void prefers_the_longest_that_holds(void **state)
{
    struct place *p = *state;

    set_standing(p, "192.0.2.0/24", "registered", 0);
    set_standing(p, "192.0.2.0/28", "gone from the configuration", 0);
    set_standing(p, "192.0.2.7", "quarantined", 2000);
    open_registry(p, false);
    wait_current(p);
    assert_string_equal(class_at(p, "192.0.2.7", 1999), "quarantined");
    assert_unit(p, "192.0.2.7", 1999, "192.0.2.7", true);
    assert_string_equal(class_at(p, "192.0.2.7", 2000), "registered");
    assert_unit(p, "192.0.2.7", 2000, "192.0.2.0/24", true);
    assert_string_equal(class_at(p, "192.0.3.7", 1000), "ordinary");
}

/* The configuration may learn of a class later: no new scan is needed. */
static void knows_a_class_after_a_reload(void **state)
{
    struct place *p = *state;
    struct conf with_gold = p->conf;
    struct conf_class classes[CLASSES + 1];
    struct registry_entry entry;
    struct addr a;

    set_standing(p, "192.0.2.7", "gold", 0);
    open_registry(p, false);
    wait_current(p);
    memcpy(classes, p->classes, sizeof(p->classes));
    classes[CLASSES] = (struct conf_class){.name = "gold"};
    with_gold.classes = classes;
    with_gold.class_count = CLASSES + 1;
    assert_true(addr_parse(SPAN_LITERAL("192.0.2.7"), &a));
    registry_find(p->registry, &p->conf, &a, 1000, &entry);
    assert_false(entry.standing);
    registry_find(p->registry, &with_gold, &a, 1000, &entry);
    assert_ptr_equal(entry.class, &classes[CLASSES]);
}

/* --- accounts and leases --- */

static void lease(struct place *p, const char *function, const char *words)
{
    struct real_answer a;

    real_redis_ask(
        p->base, p->redis, &a,
        "FCALL gate25_lease_%s 3 g25:{leases} g25:{leases}:changes g25:{leases}:accounts %s",
        function, words);
    assert_true(a.text[0] != '-' || a.text[1] == '1');
}

static bool is_id(struct place *p, const char *address, const char *id, const char *class)
{
    struct registry_entry entry;
    char got[REGISTRY_ID];
    struct addr a;

    assert_true(addr_parse(span_of(address), &a));
    registry_find(p->registry, &p->conf, &a, 1000, &entry);
    registry_id(&entry, got);
    return strcmp(got, id) == 0 && strcmp(entry.class->name, class) == 0;
}

struct wanted_id {
    struct place *p;
    const char *address, *id, *class;
};

static bool id_came(const void *context)
{
    const struct wanted_id *w = context;

    return is_id(w->p, w->address, w->id, w->class);
}

static void wait_id(struct place *p, const char *address, const char *id, const char *class)
{
    const struct wanted_id w = {p, address, id, class};

    assert_true(real_redis_until(p->base, id_came, &w));
}

static void use_leases(struct place *p)
{
    static struct prefix leased[2];
    const struct redis_options options = {.where = &p->server.where, .functions = meter_functions};

    assert_int_equal(prefix_parse(SPAN_LITERAL("192.0.2.0/24"), &leased[0]), PREFIX_OK);
    assert_int_equal(prefix_parse(SPAN_LITERAL("2001:db8::/48"), &leased[1]), PREFIX_OK);
    p->conf.leased = (struct prefix_list){leased, 2};
    redis_free(p->redis);
    p->redis = redis_new(p->base, &options);
    assert_true(real_redis_until(p->base, real_redis_is_up, p->redis));
}

/* What holds where, see svc/registry.h. */
static void standings_hang_on_the_account(void **state)
{
    struct place *p = *state;

    use_leases(p);
    set_standing(p, "alice", "registered", 0);
    set_standing(p, "192.0.2.7", "quarantined", 0);
    set_standing(p, "2001:db8:0:100::/64", "registered", 0);
    set_standing(p, "192.0.2.64/26", "registered", 0);
    set_standing(p, "198.51.100.7", "registered", 0);
    open_registry(p, false);
    wait_current(p);
    /* Said of a unit, or of a part of it: passed over. Of more than that: holds. */
    assert_true(is_id(p, "192.0.2.7", "192.0.2.7", "ordinary"));
    assert_true(is_id(p, "2001:db8:0:100::1", "2001:db8:0:100::/56", "ordinary"));
    assert_true(is_id(p, "192.0.2.65", "192.0.2.64/26", "registered"));
    assert_true(is_id(p, "198.51.100.7", "198.51.100.7", "registered"));
    lease(p, "start", "alice s1 600 0 192.0.2.7 2001:db8:0:100::/56");
    wait_id(p, "2001:db8:0:1ff::1", "alice", "registered");
    assert_true(is_id(p, "192.0.2.7", "alice", "registered"));
    lease(p, "start", "bob s2 600 0 192.0.2.65");
    wait_id(p, "192.0.2.65", "bob", "registered");
    set_standing(p, "bob", "quarantined", 0);
    wait_id(p, "192.0.2.65", "bob", "quarantined");
    /* The next one at that address. */
    lease(p, "start", "carol s3 600 0 192.0.2.7");
    wait_id(p, "192.0.2.7", "carol", "ordinary");
    lease(p, "stop", "carol s3 600 0 192.0.2.7");
    wait_id(p, "192.0.2.7", "192.0.2.7", "ordinary");
    assert_true(is_id(p, "2001:db8:0:100::1", "alice", "registered"));
    remove_standing(p, "alice");
    wait_id(p, "2001:db8:0:100::1", "alice", "ordinary");
}

static void an_account_is_kept_on_disk(void **state)
{
    struct place *p = *state;
    const struct conf_class *class = NULL;

    use_leases(p);
    set_standing(p, "alice@isp.example", "quarantined", 0);
    open_registry(p, true);
    wait_current(p);
    close_registry(p);
    real_redis_kill(&p->server);
    open_registry(p, false);
    assert_true(registry_find_account(p->registry, &p->conf, "alice@isp.example", 1000, &class));
    assert_string_equal(class->name, "quarantined");
    assert_false(registry_find_account(p->registry, &p->conf, "alice", 1000, &class));
}

/* A start while Redis is away. */
static void leases_are_kept_on_disk(void **state)
{
    struct place *p = *state;
    char path[160];

    use_leases(p);
    set_standing(p, "alice", "registered", 0);
    lease(p, "start", "alice s1 600 0 192.0.2.7 2001:db8:0:100::/56");
    lease(p, "start", "bob s2 2 0 192.0.2.8");
    lease(p, "start", "carol s3 600 0 192.0.2.9");
    lease(p, "stop", "carol s3 600 0 192.0.2.9");
    open_registry(p, true);
    wait_current(p);
    wait_id(p, "192.0.2.7", "alice", "registered");
    wait_id(p, "192.0.2.8", "192.0.2.8", "ordinary");
    close_registry(p);
    real_redis_kill(&p->server);
    open_registry(p, false);
    assert_true(is_id(p, "192.0.2.7", "alice", "registered"));
    assert_true(is_id(p, "2001:db8:0:1ff::1", "alice", "registered"));
    assert_true(is_id(p, "192.0.2.8", "192.0.2.8", "ordinary"));
    assert_true(is_id(p, "192.0.2.9", "192.0.2.9", "ordinary"));
    close_registry(p);

    /* What is no lease is left out. */
    snprintf(path, sizeof(path), "%s.leases", p->copy);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(freopen(path, "w", file) == file);
    fputs(
        "gate25-leases 1\n192.0.2.1 99999999999 5 0 10.0.0.1\n192.0.2.2 5 5 0 late\n"
        "192.0.2.3 99999999999 5 0 dora\njunk\n192.0.2.4 99999999999 5 0 torn",
        file);
    fclose(file);
    open_registry(p, false);
    assert_true(is_id(p, "192.0.2.1", "192.0.2.1", "ordinary"));
    assert_true(is_id(p, "192.0.2.2", "192.0.2.2", "ordinary"));
    assert_true(is_id(p, "192.0.2.3", "dora", "ordinary"));
    assert_true(is_id(p, "192.0.2.4", "192.0.2.4", "ordinary"));
    unlink(path);
}

/* Leases are refreshed by the servers that gave them: what Redis has lost holds until its end. */
static void leases_outlive_redis(void **state)
{
    struct place *p = *state;

    use_leases(p);
    open_registry(p, false);
    wait_current(p);
    lease(p, "start", "alice s1 600 0 192.0.2.7");
    lease(p, "start", "bob s2 6 0 192.0.2.8");
    wait_id(p, "192.0.2.8", "bob", "ordinary");
    real_redis_kill(&p->server);
    assert_true(real_redis_until(p->base, is_not_current, p));
    assert_true(is_id(p, "192.0.2.7", "alice", "ordinary"));
    real_redis_run(&p->server);
    use_leases(p);
    lease(p, "start", "carol s3 600 0 192.0.2.9");
    wait_id(p, "192.0.2.9", "carol", "ordinary");
    wait_current(p);
    assert_true(is_id(p, "192.0.2.7", "alice", "ordinary"));
    wait_id(p, "192.0.2.8", "192.0.2.8", "ordinary");
}

/* A mirror that has missed changes notices. */
static void reads_all_anew_after_a_gap(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    use_leases(p);
    lease(p, "start", "alice s1 600 0 192.0.2.7");
    open_registry(p, false);
    wait_current(p);
    /* Whoever writes past the functions makes a change whose predecessor nobody knows. */
    real_redis_ask(p->base, p->redis, &a, "HDEL g25:{leases} 192.0.2.7");
    real_redis_ask(
        p->base, p->redis, &a,
        "EVAL "
        "return\tredis.call('HSET','g25:{leases}','192.0.2.8','9999999999\\0325\\032ab\\032bob') "
        "0");
    real_redis_ask(
        p->base, p->redis, &a,
        "XADD g25:{leases}:changes * after 7-7 unit 192.0.2.9 account eve until 9999999999 began "
        "1");
    wait_id(p, "192.0.2.8", "bob", "ordinary");
    assert_true(is_id(p, "192.0.2.9", "192.0.2.9", "ordinary"));
    /* It was not known to have ended. */
    assert_true(is_id(p, "192.0.2.7", "alice", "ordinary"));
}

/* An older copy was restored: the stream ends before what we know. */
static void takes_an_older_redis_as_it_is(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    set_standing(p, "192.0.2.7", "registered", 0);
    open_registry(p, true);
    wait_current(p);
    close_registry(p);
    real_redis_kill(&p->server);
    redis_free(p->redis);
    real_redis_run(&p->server);
    connect_test(p);
    real_redis_ask(
        p->base, p->redis, &a, "XADD g25:changes 5-1 id 192.0.2.9 class quarantined until 0");
    real_redis_ask(
        p->base, p->redis, &a,
        "EVAL return\tredis.call('HSET','g25:standings','192.0.2.9','quarantined\\0320') 0");
    open_registry(p, true);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    wait_current(p);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "ordinary");
    assert_string_equal(class_at(p, "192.0.2.9", 1000), "quarantined");
}

/* Redis came back empty, and knows only what was registered since. */
static void keeps_standings_that_redis_has_lost(void **state)
{
    struct place *p = *state;

    set_standing(p, "192.0.2.7", "registered", 0);
    open_registry(p, true);
    wait_current(p);
    real_redis_kill(&p->server);
    assert_true(real_redis_until(p->base, is_not_current, p));
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    redis_free(p->redis);
    real_redis_run(&p->server);
    connect_test(p);
    set_standing(p, "192.0.2.9", "quarantined", 0);
    wait_class(p, "192.0.2.9", "quarantined");
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    /* A restart of the gate changes nothing about that. */
    close_registry(p);
    open_registry(p, true);
    wait_current(p);
    assert_int_equal(registry_size(p->registry), 2);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    assert_string_equal(class_at(p, "192.0.2.9", 1000), "quarantined");
}

static void notices_other_contents(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    set_standing(p, "192.0.2.7", "registered", 0);
    set_standing(p, "192.0.2.8", "registered", 0);
    open_registry(p, false);
    wait_current(p);
    /* Behind the mirror's back: no change in the stream. */
    real_redis_ask(p->base, p->redis, &a, "HDEL g25:standings 192.0.2.8");
    wait_class(p, "192.0.2.8", "ordinary");
    wait_class(p, "192.0.2.7", "registered");
}

/* An emptied Redis must not turn registered servers into ordinary subscribers. */
static void keeps_standings_when_redis_is_emptied(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    set_standing(p, "192.0.2.7", "registered", 0);
    open_registry(p, false);
    wait_current(p);
    real_redis_ask(p->base, p->redis, &a, "FLUSHALL");
    usleep(2000); /* ids in the stream are milliseconds: the new ones are to differ */
    set_standing(p, "192.0.2.8", "registered", 0);
    wait_class(p, "192.0.2.8", "registered");
    assert_true(real_redis_until(p->base, is_not_current, p));
    wait_current(p);
    assert_int_equal(registry_size(p->registry), 2);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
}

/* All of them taken away one by one is another matter: the stream tells. */
static void forgets_the_last_one(void **state)
{
    struct place *p = *state;

    set_standing(p, "192.0.2.7", "registered", 0);
    open_registry(p, false);
    wait_current(p);
    remove_standing(p, "192.0.2.7");
    wait_class(p, "192.0.2.7", "ordinary");
    close_registry(p);
    open_registry(p, false);
    wait_current(p);
    assert_int_equal(registry_size(p->registry), 0);
}

static void notices_a_redis_that_hangs(void **state)
{
    struct place *p = *state;

    set_standing(p, "192.0.2.7", "registered", 0);
    open_registry(p, false);
    wait_current(p);
    kill(p->server.pid, SIGSTOP);
    assert_true(real_redis_until(p->base, is_not_current, p));
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    kill(p->server.pid, SIGCONT);
    wait_current(p);
    assert_true(real_redis_until(p->base, real_redis_is_up, p->redis));
    set_standing(p, "192.0.2.8", "registered", 0);
    wait_class(p, "192.0.2.8", "registered");
}

static void survives_keys_of_a_wrong_type(void **state)
{
    struct place *p = *state;
    struct real_answer a;

    real_redis_ask(p->base, p->redis, &a, "SET g25:standings x");
    open_registry(p, false);
    for (unsigned i = 0; i < 20; i++) {
        event_base_loop(p->base, EVLOOP_ONCE);
    }
    assert_false(registry_is_current(p->registry));
    real_redis_ask(p->base, p->redis, &a, "DEL g25:standings");
    wait_current(p);
}

/* --- the copy --- */

static bool copy_holds_two(const void *context)
{
    const struct place *p = context;
    FILE *file = fopen(p->copy, "r");
    char line[256] = "";
    bool holds = false;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        holds = strcmp(line, "end 2\n") == 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return holds;
}

static void starts_from_its_copy(void **state)
{
    struct place *p = *state;
    struct stat st;

    open_registry(p, true);
    wait_current(p);
    set_standing(p, "192.0.2.7", "registered", 0);
    set_standing(p, "2001:db8::/56", "quarantined", 2000);
    assert_true(real_redis_until(p->base, copy_holds_two, p));
    assert_int_equal(stat(p->copy, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
    close_registry(p);
    real_redis_kill(&p->server);
    open_registry(p, false);
    assert_false(registry_is_current(p->registry));
    assert_int_equal(registry_size(p->registry), 2);
    assert_string_equal(class_at(p, "192.0.2.7", 1000), "registered");
    assert_string_equal(class_at(p, "2001:db8::1", 1999), "quarantined");
    assert_string_equal(class_at(p, "2001:db8::1", 2000), "ordinary");
}

static void writes_what_is_left_at_its_end(void **state)
{
    struct place *p = *state;

    set_standing(p, "192.0.2.7", "registered", 0);
    set_standing(p, "192.0.2.8", "registered", 0);
    open_registry(p, true);
    wait_current(p);
    close_registry(p);
    assert_true(copy_holds_two(p));
}

static void reads_what_is_left_of_a_broken_copy(void **state)
{
    static const struct {
        const char *text;
        size_t size;
    } rows[] = {
        {"", 0},
        {"nonsense\n192.0.2.7 registered 0\nend 1\n", 0},
        {"gate25-registry 2 0-0\n192.0.2.7 registered 0\nend 1\n", 0},
        {"gate25-registry 1 0-0\n192.0.2.7 registered 0\n", 1},
        {"gate25-registry 1 0-0\n192.0.2.7 registered 0\n192.0.2.8 regis", 1},
        {"gate25-registry 1 0-0\n192.0.2.7 registered 0\nend 7\n", 1},
        {"gate25-registry 1 0-0\n192.0.2.7 registered\n192.0.2.8/24 registered 0\n"
         "192.0.2.9  0\n192.0.2.10 registered 0 0\n192.0.2.11 registered -1\n"
         "192.0.2.12 registered 0\nend 1\n",
         1},
    };
    struct place *p = *state;

    real_redis_kill(&p->server);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        FILE *file = fopen(p->copy, "w");

        assert_non_null(file);
        fputs(rows[i].text, file);
        fclose(file);
        open_registry(p, false);
        assert_int_equal(registry_size(p->registry), rows[i].size);
        close_registry(p);
    }
}

/* Nothing that its end sets in motion outlives it, whatever it waits for: of the standings and of
 * the leases. */
static void ends_at_any_moment(void **state)
{
    struct place *p = *state;
    bool current = false;
    unsigned turns = 0;

    use_leases(p);
    for (; !current && turns < 200; turns++) {
        struct event_base *base = event_base_new();
        struct registry *r = registry_new(base, &p->conf, turns % 2 == 0);
        for (unsigned turn = 0; turn < turns && !registry_is_current(r); turn++) {
            event_base_loop(base, EVLOOP_ONCE);
        }
        current = registry_is_current(r);
        registry_free(r);
        assert_int_equal(event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED), 0);
        event_base_free(base);
    }
    assert_in_range(turns, 8, 199);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(scans_what_is_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(scans_more_than_one_page, set_up, tear_down),
        cmocka_unit_test_setup_teardown(follows_changes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(prefers_the_longest_that_holds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_a_class_after_a_reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(standings_hang_on_the_account, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_account_is_kept_on_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leases_are_kept_on_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(leases_outlive_redis, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_all_anew_after_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(takes_an_older_redis_as_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_standings_that_redis_has_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notices_other_contents, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_standings_when_redis_is_emptied, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgets_the_last_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(notices_a_redis_that_hangs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_keys_of_a_wrong_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(starts_from_its_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_what_is_left_at_its_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_what_is_left_of_a_broken_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_at_any_moment, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
