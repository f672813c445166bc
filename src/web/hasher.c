#include "hasher.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "svc/password.h"

struct job {
    char password[PASSWORD_MOST], hash[PASSWORD_HASH];
    size_t password_len, hash_len;
    hasher_cb done;
    void *context;
    uint64_t ticket;
    bool fits;
};

/* A ring: jobs from `first` on are answered by the thread, those before it wait for the loop. */
struct hasher {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    int told; /* eventfd: something is answered */
    struct event *event;
    bool ending;
    struct job jobs[HASHER_WAITING];
    size_t first, answered, asked; /* counts: first <= answered <= asked <= first + WAITING */
};

static struct job *job_at(struct hasher *h, size_t number)
{
    return &h->jobs[number % HASHER_WAITING];
}

static void *work(void *context)
{
    struct hasher *h = context;
    static const uint64_t one = 1;

    pthread_mutex_lock(&h->lock);
    while (!h->ending) {
        if (h->answered == h->asked) {
            pthread_cond_wait(&h->more, &h->lock);
            continue;
        }
        struct job *job = job_at(h, h->answered);

        pthread_mutex_unlock(&h->lock);
        job->fits = password_fits(
            (struct span){job->password, job->password_len},
            (struct span){job->hash, job->hash_len});
        explicit_bzero(job->password, sizeof(job->password));
        pthread_mutex_lock(&h->lock);
        h->answered++;
        (void)!write(h->told, &one, sizeof(one));
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

static void on_told(evutil_socket_t fd, short what, void *context)
{
    struct hasher *h = context;
    uint64_t count;

    (void)what;
    (void)!read(fd, &count, sizeof(count));
    for (;;) {
        struct job job;

        pthread_mutex_lock(&h->lock);
        bool any = h->first < h->answered;
        if (any) {
            job = *job_at(h, h->first++);
        }
        pthread_mutex_unlock(&h->lock);
        if (!any) {
            return;
        }
        job.done(job.context, job.ticket, job.fits);
    }
}

struct hasher *hasher_new(struct event_base *base)
{
    struct hasher *h = calloc(1, sizeof(*h));

    if (!h) {
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->more, NULL);
    h->told = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->event = h->told < 0 ? NULL : event_new(base, h->told, EV_READ | EV_PERSIST, on_told, h);
    if (h->event && event_add(h->event, NULL) == 0 && thread_start(&h->thread, work, h) == 0) {
        return h;
    }
    if (h->event) {
        event_free(h->event);
    }
    if (h->told >= 0) {
        close(h->told);
    }
    free(h);
    return NULL;
}

void hasher_free(struct hasher *h)
{
    if (!h) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    pthread_cond_signal(&h->more);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    event_free(h->event);
    close(h->told);
    pthread_cond_destroy(&h->more);
    pthread_mutex_destroy(&h->lock);
    explicit_bzero(h->jobs, sizeof(h->jobs));
    free(h);
}

int hasher_ask(
    struct hasher *h, struct span password, struct span hash, hasher_cb done, void *context,
    uint64_t ticket)
{
    struct job job = {.done = done, .context = context, .ticket = ticket};

    if (password.len > sizeof(job.password) || hash.len > sizeof(job.hash)) {
        return -1;
    }
    memcpy(job.password, password.at, password.len);
    job.password_len = password.len;
    memcpy(job.hash, hash.at, hash.len);
    job.hash_len = hash.len;
    pthread_mutex_lock(&h->lock);
    bool room = h->asked - h->first < HASHER_WAITING;
    if (room) {
        *job_at(h, h->asked++) = job;
        pthread_cond_signal(&h->more);
    }
    pthread_mutex_unlock(&h->lock);
    explicit_bzero(&job, sizeof(job));
    return room ? 0 : -1;
}
