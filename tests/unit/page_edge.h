/* Memory whose last byte lies against a page that nobody may touch: reading one byte too far ends
 * the test at once, also without a sanitizer. */
#ifndef GATE25_TESTS_PAGE_EDGE_H
#define GATE25_TESTS_PAGE_EDGE_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/str.h"

struct page_edge {
    char *at;
    size_t size; /* of the part that may be touched */
    size_t page;
};

static inline void page_edge_init(struct page_edge *e)
{
    e->page = (size_t)sysconf(_SC_PAGESIZE);
    e->size = 16 * e->page;
    e->at =
        mmap(NULL, e->size + e->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(e->at != MAP_FAILED);
    assert_int_equal(mprotect(e->at + e->size, e->page, PROT_NONE), 0);
}

/* A copy of `s` that ends where the page ends. */
static inline struct span page_edge_copy(const struct page_edge *e, struct span s)
{
    char *to = e->at + e->size - s.len;
    memcpy(to, s.at, s.len);
    return (struct span){to, s.len};
}

static inline void page_edge_fini(struct page_edge *e)
{
    munmap(e->at, e->size + e->page);
}

#endif
