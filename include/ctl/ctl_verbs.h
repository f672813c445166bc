/* The verbs of gate25ctl, one row each. */
#ifndef GATE25_CTL_CTL_VERBS_H
#define GATE25_CTL_CTL_VERBS_H

#include "ctl/ctl_store.h"

extern const struct ctl_verb ctl_verbs[];
extern const size_t ctl_verb_count;

/* The whole program: reads the command line and the configuration, runs the verb. */
int ctl_main(int argc, char **argv);

/* src/ctl/ctl_standing.c */
enum ctl_exit ctl_register(struct ctl *c);
enum ctl_exit ctl_unregister(struct ctl *c);
enum ctl_exit ctl_quarantine(struct ctl *c);
enum ctl_exit ctl_release(struct ctl *c);
/* src/ctl/ctl_show.c */
enum ctl_exit ctl_show(struct ctl *c);
/* src/ctl/ctl_list.c */
enum ctl_exit ctl_list(struct ctl *c);
/* src/ctl/ctl_log.c */
enum ctl_exit ctl_log(struct ctl *c);
/* src/ctl/ctl_top.c */
enum ctl_exit ctl_top(struct ctl *c);
/* src/ctl/ctl_explain.c */
enum ctl_exit ctl_explain(struct ctl *c);
/* src/ctl/ctl_operator.c */
enum ctl_exit ctl_operator(struct ctl *c);
/* src/ctl/ctl_gate.c */
enum ctl_exit ctl_status(struct ctl *c);
enum ctl_exit ctl_health(struct ctl *c);
enum ctl_exit ctl_drain(struct ctl *c);
enum ctl_exit ctl_undrain(struct ctl *c);
enum ctl_exit ctl_upgrade(struct ctl *c);
enum ctl_exit ctl_reload(struct ctl *c);
enum ctl_exit ctl_spf(struct ctl *c);

#endif
