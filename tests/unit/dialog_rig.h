/* core/dialog driven by hand, event by event. */
#ifndef GATE25_TESTS_DIALOG_RIG_H
#define GATE25_TESTS_DIALOG_RIG_H

#include "core/dialog.h"

struct rig {
    struct conf conf;
    struct conf_class class;
    struct dialog_setup setup;
    struct dialog dialog;
    struct dialog_actions actions; /* of the last step */
    int64_t now_ms, active_ms;
    uint64_t bytes_up;
    size_t left; /* opaque: of the record that is held */
};

/* Its configuration and class are filled in. */
static inline void rig_start(struct rig *r)
{
    r->setup = (struct dialog_setup){
        .conf = &r->conf, .class = &r->class, .subscriber = "10.20.0.7", .case_id = "7M2K9XW4QA"};
    dialog_init(&r->dialog, &r->setup);
}

static inline void step(struct rig *r, struct dialog_event e)
{
    e.now_ms = r->now_ms;
    e.active_ms = r->active_ms ? r->active_ms : r->now_ms;
    e.bytes_up = r->bytes_up;
    dialog_step(&r->dialog, &e, &r->actions);
}

/* The first such action of the last step, or NULL. */
static inline const struct dialog_action *find(const struct rig *r, enum dialog_action_kind kind)
{
    for (unsigned i = 0; i < r->actions.count; i++) {
        if (r->actions.action[i].kind == kind) {
            return &r->actions.action[i];
        }
    }
    return NULL;
}

static inline bool has(const struct rig *r, enum dialog_action_kind kind)
{
    return find(r, kind) != NULL;
}

#endif
