/* What spf_check.c (a run, its result) and spf_check_dns.c (what libspf2 asks) share. */
#ifndef GATE25_SPF_SPF_CHECK_INTERNAL_H
#define GATE25_SPF_SPF_CHECK_INTERNAL_H

#include "spf/spf_check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* This order: the headers of libspf2 need what stands before. */
#include <spf2/spf.h>
#include <spf2/spf_dns.h>

#define MAILBOX 640

struct answer_record {
    size_t len;
    char bytes[]; /* and a terminator */
};

struct entry {
    char name[SPF_CHECK_NAME];
    uint16_t type;
    enum spf_dns_state state;
    bool cut; /* there was no memory for all of it */
    size_t count, room;
    struct answer_record **record;
};

struct spf_check {
    struct addr client;
    char helo[SPF_CHECK_NAME]; /* "": no name that there could be */
    char sender[MAILBOX];
    enum spf_result result;
    char explanation[SPF_EXPLANATION];
    size_t bytes; /* of all records */
    size_t entries;
    struct entry *entry[SPF_CHECK_MEMO];

    /* Of one run. */
    SPF_dns_server_t layer;
    const SPF_request_t *request;
    bool missing;                  /* libspf2 asked for something that is not here yet */
    const char *broken;            /* a limit was passed: permerror, and why */
    unsigned lookups, voids;       /* of terms; the first record is free */
    struct {                       /* the last mx, ptr or %{p}: its names' addresses belong to it */
        const struct entry *entry; /* NULL: none */
        const char *domain;        /* libspf2's place for the domain of the record it stands in */
        size_t next;               /* the record whose address is due */
        bool macro;
    } source;
    bool begun;
    bool wants_record; /* the next TXT is a domain's record; else it is an explanation */
    bool explaining;   /* the last lookup was an explanation's: no term */
    bool record_failed;
    unsigned terms; /* of the record that libspf2 was shown last */
};

/* Before each run: libspf2's layer over the memo, and all counts of the limits at nothing. The memo
 * stays. */
void spf_check_begin(struct spf_check *c);
/* The record of this domain will be asked for: it is in the memo, wanted. */
void spf_check_expect(struct spf_check *c, const char *domain);
/* Frees the memo's entries. */
void spf_check_forget(struct spf_check *c);

#endif
