/* Name servers that are slow or know nothing: no loop waits for them. getaddrinfo() is ours here,
 * for no real name server can be made to sleep on cue. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "unit/real_redis.h"

static sem_t release;
static atomic_int asked, answered;

int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

    memcpy(&real, &symbol, sizeof real);
    if (strcmp(name, "slow.example") == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
        atomic_fetch_add(&asked, 1);
        sem_wait(&release);
        atomic_fetch_add(&answered, 1);
        name = "127.0.0.1";
    } else if (strcmp(name, "unknown.example") == 0) {
        return EAI_NONAME;
    }
    return real(name, service, hints, found);
}

struct bench {
    struct real_redis server;
    struct event_base *base;
    struct conf_redis tcp; /* by a name */
};

static int start(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    atomic_store(&asked, 0);
    atomic_store(&answered, 0);
    assert_int_equal(sem_init(&release, 0, 0), 0);
    real_redis_start_at(&b->server, real_redis_port());
    b->base = event_base_new();
    b->tcp = (struct conf_redis){
        .places = 1, .place = {{"slow.example", (uint16_t)b->server.cluster_port}}};
    *state = b;
    return 0;
}

static int stop(void **state)
{
    struct bench *b = *state;

    event_base_free(b->base);
    real_redis_end(&b->server);
    free(b);
    return 0;
}

static bool gave_up(const void *redis)
{
    return strcmp(redis_trouble(redis), "does not answer") == 0;
}

static void test_slow_name_server(void **state)
{
    struct bench *b = *state;
    struct redis_options by_name = {.where = &b->tcp}, by_path = {.where = &b->server.where};
    struct redis *slow = redis_new(b->base, &by_name);
    struct redis *fast = redis_new(b->base, &by_path);
    struct real_answer a;

    /* The loop serves others for long enough to give up twice; one thread is all that waits. */
    assert_true(real_redis_until(b->base, real_redis_is_up, fast));
    assert_true(real_redis_until(b->base, gave_up, slow));
    for (int i = 0; i < 30; i++) {
        struct timeval moment = {0, 100000};
        event_base_loopexit(b->base, &moment);
        event_base_dispatch(b->base);
        assert_string_equal(real_redis_ask(b->base, fast, &a, "PING"), "PONG");
    }
    assert_false(redis_is_up(slow));
    assert_int_equal(asked, 1);
    sem_post(&release);
    assert_true(real_redis_until(b->base, real_redis_is_up, slow));
    assert_string_equal(real_redis_ask(b->base, slow, &a, "PING"), "PONG");
    redis_free(slow);
    redis_free(fast);
}

static void test_freed_meanwhile(void **state)
{
    struct bench *b = *state;
    struct redis_options options = {.where = &b->tcp};
    struct redis *slow = redis_new(b->base, &options);

    while (atomic_load(&asked) == 0) {
        event_base_loop(b->base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    redis_free(slow);
    sem_post(&release);
    while (atomic_load(&answered) == 0) {
        usleep(1000);
    }
}

static bool is_unknown(const void *redis)
{
    return strstr(redis_trouble(redis), "cannot resolve the name: ") != NULL;
}

static void test_unknown_name(void **state)
{
    struct bench *b = *state;
    struct redis_options options = {.where = &b->tcp};

    snprintf(b->tcp.place[0].host, sizeof b->tcp.place[0].host, "unknown.example");
    struct redis *unknown = redis_new(b->base, &options);
    assert_true(real_redis_until(b->base, is_unknown, unknown));
    redis_free(unknown);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_slow_name_server),
        TEST(test_freed_meanwhile),
        TEST(test_unknown_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
