/* Who comes in: what the guard (desk_guard.c) and the log-in (desk_login.c) share. */
#ifndef GATE25_WEB_DESK_ENTRY_H
#define GATE25_WEB_DESK_ENTRY_H

#include "desk_internal.h"
#include "svc/operators.h"
#include "svc/password.h"

#define DESK_COOKIE "g25desk" /* a session is a random token in __Host-g25desk */
#define DESK_LOGIN  "/desk/login"

/* One request's way through the guard or the log-in: visit.data. */
struct desk_entry {
    char name[OPERATOR_NAME];
    struct span given;         /* the password */
    char key[STORE_KEY];       /* of the session */
    int64_t began_s, record_s; /* the session's; 0: there is none */
    bool known, fits;          /* the operator; his password */
    enum operator_role role;
    int64_t since_s;
    char hash[PASSWORD_HASH];
};

struct desk_entry *desk_entry_new(struct visit *v); /* into v->data */
/* What cannot be an operator's name leaves it empty. */
void desk_entry_name(struct desk_entry *e, struct span name);
/* The key of the session with that token: Redis knows its hash alone. */
struct span desk_session_key(struct desk_entry *e, struct span token);
/* Asks for the operator called e->name: known, role, since_s, hash. */
void desk_ask_operator(struct visit *v);
/* From elsewhere there is no desk. */
bool desk_is_near(const struct visit *v);

#endif
