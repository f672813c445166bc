#include "proxy/sessions.h"

#include "proxy/session.h"

static void free_dead(struct sessions *all)
{
    while (all->dead) {
        struct session *s = all->dead;
        all->dead = *session_next(s);
        session_free(s);
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    free_dead(context);
}

int sessions_init(
    struct sessions *all, struct event_base *base, sessions_count_cb counted, void *context)
{
    idmap_init(&all->map);
    all->dead = NULL;
    all->counted = counted;
    all->context = context;
    return evtimer_assign(&all->sweep, base, on_sweep, all);
}

void sessions_fini(struct sessions *all)
{
    sessions_abort(all);
    event_del(&all->sweep);
    free_dead(all);
    idmap_fini(&all->map);
}

uint64_t sessions_add(struct sessions *all, struct session *s)
{
    uint64_t id = idmap_add(&all->map, s);
    if (id != IDMAP_NONE) {
        all->counted(all->context, all->map.count);
    }
    return id;
}

struct session *sessions_get(const struct sessions *all, uint64_t id)
{
    return idmap_get(&all->map, id);
}

void sessions_remove(struct sessions *all, struct session *s)
{
    idmap_remove(&all->map, session_id(s));
    all->counted(all->context, all->map.count);
}

void sessions_bury(struct sessions *all, struct session *s)
{
    idmap_remove(&all->map, session_id(s));
    *session_next(s) = all->dead;
    all->dead = s;
    event_active(&all->sweep, EV_TIMEOUT, 1);
    all->counted(all->context, all->map.count);
}

size_t sessions_count(const struct sessions *all)
{
    return all->map.count;
}

static void shut_down_one(void *session, void *context)
{
    (void)context;
    session_shut_down(session);
}

static void look_again_one(void *session, void *context)
{
    (void)context;
    session_look_again(session);
}

static void abort_one(void *session, void *context)
{
    (void)context;
    session_abort(session);
}

void sessions_shut_down(struct sessions *all)
{
    idmap_each(&all->map, shut_down_one, NULL);
}

void sessions_look_again(struct sessions *all)
{
    idmap_each(&all->map, look_again_one, NULL);
}

void sessions_abort(struct sessions *all)
{
    idmap_each(&all->map, abort_one, NULL);
}
