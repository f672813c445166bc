/* How many gates a connection has come through already, as the TTL (IPv6: hop limit) of its first
 * packet tells: that is the only thing of a gate's own that reaches the next one, and it costs
 * nobody anything. No system begins with such a TTL: they use 64, 128, 255 and less than 64. */
#ifndef GATE25_CORE_PASSAGE_H
#define GATE25_CORE_PASSAGE_H

#define PASSAGES_UNKNOWN (-1)
/* So many have come round: a customer with a gate of his own is one, and a loop is two. */
#define PASSAGES_MOST 2

/* Of a packet that arrives with `ttl`: 0 to PASSAGES_MOST. */
int passages_of_ttl(unsigned ttl);
/* The TTL to send with, for a connection that has come through `passages` gates before this one, or
 * PASSAGES_UNKNOWN. */
int passages_to_ttl(int passages);

#endif
