/* The configuration as plain data, and the small languages its values are written in.
 * svc/conf_file.h reads the file; everybody else only reads this. */
#ifndef GATE25_CORE_CONF_H
#define GATE25_CORE_CONF_H

#include "core/conf_desk.h"
#include "core/conf_registration.h"
#include "core/conf_web.h"
#include "core/prefix.h"
#include "core/rate.h"

#define CONF_WINDOWS        4 /* windows that one limit may have */
#define CONF_NAME           32
#define SUBMISSION_PORT     587 /* RFC 6409 */
#define SUBMISSION_TLS_PORT 465 /* RFC 8314 */
#define SMTP_PORT           25
/* As the table of options has them. */
#define CONF_SPF_FAIL_COST   10
#define CONF_SPF_DEADLINE_MS 2000
#define CONF_DEFAULT_CLASS   "ordinary" /* the class of an id without a standing */

/* What a class can limit. The order is the order of the rules in a decision. */
enum limit_kind {
    LIMIT_SESSIONS,
    LIMIT_MESSAGES,
    LIMIT_RECIPIENTS,
    LIMIT_BYTES,
    LIMIT_SPREAD,     /* distinct destination addresses contacted within the window */
    LIMIT_CONCURRENT, /* sessions open at once: one window, its period unused */
    LIMIT_KINDS
};

struct limit {
    unsigned windows; /* 0: no limit of this kind */
    struct rate window[CONF_WINDOWS];
};

enum class_action { ACTION_PASS, ACTION_METER, ACTION_REFUSE, ACTION_SUBMIT };
enum class_over { OVER_DEFER, OVER_REFUSE, OVER_SUBMIT };
/* What message tokens an encrypted session takes: one for each that it must have carried
 * (core/turns.h), one at STARTTLS, none. */
enum class_opaque { OPAQUE_TURNS, OPAQUE_SESSION, OPAQUE_OFF };
enum class_starttls { STARTTLS_PASS, STARTTLS_REFUSE };

struct conf_class {
    char name[CONF_NAME];
    enum class_action action;
    enum class_over over;
    bool enforce; /* false: everything is decided and logged, nothing refused */
    enum class_opaque opaque_messages;
    enum class_starttls starttls;
    struct limit limit[LIMIT_KINDS];
};

enum intercept_mode { INTERCEPT_TPROXY, INTERCEPT_REDIRECT };
enum when_down { WHEN_DOWN_LOCAL, WHEN_DOWN_PASS, WHEN_DOWN_REFUSE };
enum bare_lf { BARE_LF_NORMALIZE, BARE_LF_REFUSE };
enum envelope_detail { ENVELOPE_FULL, ENVELOPE_DOMAINS, ENVELOPE_NONE };

/* Deadlines of RFC 5321 section 4.5.3.2 and a few of our own, milliseconds. */
struct conf_timeouts {
    uint32_t connect_ms;    /* until the destination has accepted */
    uint32_t banner_ms;     /* until the server's greeting: 5 min */
    uint32_t command_ms;    /* until a command is complete: 5 min */
    uint32_t reply_ms;      /* until a reply is complete: 5 min */
    uint32_t data_start_ms; /* until the 354: 2 min */
    uint32_t data_block_ms; /* until the next DIALOG_BLOCK bytes of a body: 3 min */
    uint32_t data_end_ms;   /* until the reply to a whole message: 10 min */
    uint32_t opaque_ms;     /* nothing in either direction of an opaque session */
    uint32_t drain_ms;      /* after SIGTERM, until the last sessions are ended */
    uint32_t retire_ms;     /* after an upgrade, until the older gate's sessions are asked to end */
    uint32_t submission_ms; /* until a submission service has accepted a bridged session */
};

#define CONF_REDIS_PLACES 8
#define CONF_FILE_NAME    256

/* How the servers are found: the places of a URL are the server itself, its sentinels, or some of
 * a cluster's nodes. */
enum redis_kind { REDIS_ALONE, REDIS_SENTINEL, REDIS_CLUSTER };

struct conf_redis_place {
    char host[256]; /* name or address */
    uint16_t port;
};

struct conf_redis {
    enum redis_kind kind;
    char path[108]; /* unix socket; empty: the places */
    struct conf_redis_place place[CONF_REDIS_PLACES];
    unsigned places;
    char master[64]; /* REDIS_SENTINEL: what the sentinels call it */
    char user[64], password[128];
    char sentinel_user[64], sentinel_password[128]; /* the sentinels' own; empty: none */
    char ctl_user[64], ctl_password[128]; /* gate25ctl's own, for the servers; empty: as above */
    unsigned database;
    bool tls;
    char tls_ca[CONF_FILE_NAME];                                   /* empty: the system's */
    char tls_certificate[CONF_FILE_NAME], tls_key[CONF_FILE_NAME]; /* our own; empty: none */
    char tls_name[256]; /* that certificates must carry; empty: the host's */
    enum when_down when_down;
    uint32_t deadline_ms;  /* no decision waits longer for Redis */
    unsigned tokens_ahead; /* that a worker takes at once in a burst; 1: each when it is needed */
};

#define CONF_LINKS 16
#define CONF_LINK  16 /* room for a network interface's name */

struct link_list {
    char at[CONF_LINKS][CONF_LINK];
    size_t count;
};

/* What gate25-bypassd reads besides. */
struct conf_bypass {
    unsigned mark_bit;           /* of the packet mark: the packet is let by; 0 is the rules' own */
    uint32_t hold_ms;            /* without gate25-bypassd, new connections are let by so long */
    char *control_socket;        /* NULL: none */
    struct endpoint_list listen; /* where Prometheus reads */
    struct link_list fast_path;  /* on which packets are sent on before nftables sees them */
};

enum spf_use { SPF_USE_OFF, SPF_USE_LOG, SPF_USE_METER, SPF_USE_REFUSE };

#define CONF_RESOLVERS 4

struct conf_spf {
    enum spf_use use;
    uint32_t deadline_ms; /* no MAIL waits longer for SPF */
    unsigned fail_cost;   /* SPF_USE_METER: message tokens that a mail with a fail costs */
    struct endpoint resolvers[CONF_RESOLVERS];
    size_t resolver_count; /* 0: those of /etc/resolv.conf */
};

/* Authenticated submission (RFC 6409), where sessions are bridged to and subscribers advised to go.
 */
struct conf_submission {
    char host[128];     /* named in the advice; empty: none */
    unsigned port;      /* of the service */
    struct prefix *own; /* servers whose sessions are bridged to the service, not to themselves */
    size_t own_count;
    struct addr *service; /* the service's addresses, at most one of a family */
    size_t service_count;
    bool proxy_protocol; /* the service is told client and server by a PROXY header */
};

struct conf {
    struct prefix *prefixes; /* the subscribers' address space */
    size_t prefix_count;
    unsigned ipv6_unit;
    struct prefix_list leased; /* of them, what is handed out by lease, to whom it may be */

    enum intercept_mode mode;
    struct endpoint *listen;
    size_t listen_count;
    unsigned workers;      /* 0: one a core */
    unsigned max_sessions; /* a worker's; over it new sessions wait in the listen queue */

    struct conf_redis redis;
    struct conf_class *classes; /* ordinary is always there */
    size_t class_count;
    size_t default_class; /* index of CONF_DEFAULT_CLASS */

    enum bare_lf bare_lf; /* a line of the client's that ends in LF alone */
    struct conf_submission submission;
    struct conf_spf spf;
    struct conf_web web;
    struct conf_desk desk;
    struct conf_registration registration;
    struct conf_mail mail;

    char help_url[256];
    char *journal_file;      /* NULL: none */
    uint64_t journal_keep_s; /* life of the subscriber's stream in Redis */
    enum envelope_detail envelope;
    char *registry_copy; /* file that mirrors the standings for a start without Redis; NULL: none */
    char *control_socket;         /* NULL: none */
    struct endpoint_list metrics; /* where Prometheus reads */
    struct conf_bypass bypass;
    char node[64]; /* this gate's name in the journal; default: the host name */
    struct conf_timeouts timeouts;

    unsigned references; /* svc/conf_file.h counts them */
};

/* Each parser: false, and *out untouched, when `s` is not of its form. */
bool conf_parse_duration(struct span s, uint64_t *out_us); /* "500ms" "10s" "5m" "1h" "30d" */
bool conf_parse_size(struct span s, uint64_t *out);    /* "100" "64k" "100M" "2G", powers of 1000 */
bool conf_parse_rate(struct span s, struct rate *out); /* "30/1m": COUNT/PERIOD; COUNT a size */

/* The other way round, as a person would say it: "1 minute", "12 hours", "90 seconds". */
void conf_duration_words(uint64_t us, struct text *out);
/* ... and as the configuration writes it: "1m", "12h", "90s". */
void conf_duration_text(uint64_t us, struct text *out);

const char *limit_kind_name(enum limit_kind k); /* as in the configuration: "sessions" */
/* Redis tells of this kind how much is used; of the others, how much is left. */
bool limit_kind_counts_up(enum limit_kind k);
/* An amount as a person would say it: "12 MB", "3.5 kB", "17 B" of bytes; "17" of others. */
void limit_amount_words(enum limit_kind k, uint64_t n, struct text *out);
const char *class_action_name(enum class_action a);
/* Is `a` handed out by lease, so that standings hang on accounts? */
bool conf_is_leased(const struct conf *c, const struct addr *a);
/* The class called `name`, or NULL. */
const struct conf_class *conf_class_named(const struct conf *c, struct span name);

#endif
