/* Where a command belongs in a cluster (Redis Cluster specification, "Key distribution model").
 * Pure.
 */
#ifndef GATE25_SVC_REDIS_SLOTS_H
#define GATE25_SVC_REDIS_SLOTS_H

#include "base/str.h"

#define REDIS_SLOTS 16384

uint16_t redis_crc16(struct span s); /* CRC-16/XMODEM */
/* Of the part in the key's first braces, if there is something in them; else of the whole key. */
unsigned redis_slot_of(struct span key);
/* The first key that a command names. False: it names none. */
bool redis_command_key(const struct span *words, size_t count, struct span *key);

#endif
