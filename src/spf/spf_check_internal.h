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

#define RECORDS_MOST 64 /* of one answer */

struct answer_record {
    size_t len;
    char bytes[]; /* and a terminator */
};

struct entry {
    char name[SPF_CHECK_NAME];
    uint16_t type;
    enum spf_dns_state state;
    size_t count;
    struct answer_record *record[RECORDS_MOST];
};

struct spf_check {
    struct addr client;
    char helo[SPF_WIRE_HELO];
    char sender[SPF_WIRE_SENDER];
    enum spf_result result;
    char explanation[SPF_EXPLANATION];
    size_t entries;
    struct entry *entry[SPF_CHECK_MEMO];

    /* Of one run. */
    SPF_dns_server_t layer;
    bool missing;               /* libspf2 asked for something that is not here yet */
    const char *broken;         /* a limit was passed: permerror, and why */
    unsigned lookups, voids;    /* of terms; the first record is free */
    const struct entry *source; /* the last mx or ptr: its names' addresses belong to it */
    unsigned of_source;
    bool begun;
    bool wants_record; /* the next TXT is a domain's record; else it is an explanation */
    bool record_failed;
    const struct answer_record *record; /* that libspf2 was shown last */
};

/* Before each run: libspf2's layer over the memo, and all counts of the limits at nothing. The memo
 * stays. */
void spf_check_begin(struct spf_check *c);
/* Frees the memo's entries. */
void spf_check_forget(struct spf_check *c);
/* As much of `s` as there is room for, with a terminator. */
void spf_check_keep(char *out, size_t cap, struct span s);

#endif
