#include "bypass/fast_path.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "bypass/fast_path_maps.h"
#include "fast_path_internal.h"

#define NS_A_SECOND UINT64_C(1000000000)
#define BATCH       4096 /* units that the kernel is told, or asked for, at once */
#define PROGRAM     "fast_path"

/* The program, compiled for the kernel: see fast_path_program.S. */
extern const char fast_path_program[];
extern const char fast_path_program_end[];

static int map_named(const struct bpf_object *object, const char *name)
{
    return bpf_object__find_map_fd_by_name(object, name);
}

static int set_room(const struct bpf_object *object, const char *name, size_t units)
{
    return bpf_map__set_max_entries(
        bpf_object__find_map_by_name(object, name),
        units < UINT32_MAX ? (uint32_t)units : UINT32_MAX);
}

/* -1: errno. */
static int load(struct fast_path *f, size_t units4, size_t units6)
{
    const size_t size = (size_t)(fast_path_program_end - fast_path_program);

    f->object = bpf_object__open_mem(fast_path_program, size, NULL);
    if (f->object == NULL || set_room(f->object, FAST_PATH_UNITS4, units4) != 0 ||
        set_room(f->object, FAST_PATH_UNITS6, units6) != 0 || bpf_object__load(f->object) != 0) {
        return -1;
    }
    f->program = bpf_program__fd(bpf_object__find_program_by_name(f->object, PROGRAM));
    f->units4 = map_named(f->object, FAST_PATH_UNITS4);
    f->units6 = map_named(f->object, FAST_PATH_UNITS6);
    f->state = map_named(f->object, FAST_PATH_STATE);
    return 0;
}

bool fast_path_suits(const char *kernel_version)
{
    return strstr(kernel_version, "PREEMPT_RT") == NULL;
}

static bool suits_this_kernel(void)
{
    struct utsname system;

    return uname(&system) != 0 || fast_path_suits(system.version);
}

struct fast_path *fast_path_new(
    size_t units4, size_t units6, unsigned ipv6_unit, struct text *error)
{
    struct fast_path *f;

    if (!suits_this_kernel()) {
        text_addf(error, "the fast path is not for kernels with PREEMPT_RT, as this one is");
        return NULL;
    }
    f = calloc(1, sizeof(*f));
    if (f == NULL) {
        text_addf(error, "out of memory");
        return NULL;
    }
    /* What it would print of a failure is for those who write the program. */
    libbpf_set_print(NULL);
    f->ipv6_unit = ipv6_unit;
    if (load(f, units4, units6) != 0) {
        text_addf(error, "the kernel does not take the fast path's program: %s", strerror(errno));
        fast_path_free(f);
        return NULL;
    }
    return f;
}

void fast_path_free(struct fast_path *f)
{
    if (f != NULL) {
        bpf_object__close(f->object);
        free(f);
    }
}

int fast_path_live(struct fast_path *f, int64_t fresh_s, int64_t open_s)
{
    const uint32_t only = 0;
    const struct addr ones = {
        .family = ADDR_IPV6, .bytes = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    const struct prefix mask = prefix_of(&ones, f->ipv6_unit);
    struct fast_path_state state = {
        .fresh_ns = (uint64_t)fresh_s * NS_A_SECOND, .open_ns = (uint64_t)open_s * NS_A_SECOND};

    memcpy(&state.unit6_mask, mask.addr.bytes, sizeof(state.unit6_mask));
    return bpf_map_update_elem(f->state, &only, &state, BPF_ANY) == 0 ? 0 : -1;
}

/* --- units --- */

/* The map of the unit's family; `key` has room for either's key. */
static int place_of(const struct fast_path *f, const struct prefix *unit, fast_path_key6 *key)
{
    memcpy(key, unit->addr.bytes, sizeof(*key));
    return unit->addr.family == ADDR_IPV4 ? f->units4 : f->units6;
}

int fast_path_put(struct fast_path *f, const struct prefix *unit, int64_t end_s)
{
    fast_path_key6 key;
    int map = place_of(f, unit, &key);
    struct fast_path_unit value = {0};

    /* With another end it goes on counting, but for the packets of this moment. */
    (void)bpf_map_lookup_elem(map, &key, &value);
    value.end_ns = (uint64_t)end_s * NS_A_SECOND;
    return bpf_map_update_elem(map, &key, &value, BPF_ANY) == 0 ? 0 : -1;
}

bool fast_path_remove(
    struct fast_path *f, const struct prefix *unit, struct fast_path_figures *figures)
{
    fast_path_key6 key;
    int map = place_of(f, unit, &key);
    struct fast_path_unit value;

    if (bpf_map_lookup_elem(map, &key, &value) != 0) {
        return false;
    }
    *figures = (struct fast_path_figures){value.opened, value.up, value.down};
    return bpf_map_delete_elem(map, &key) == 0;
}

/* Many of one map at once; keys lie side by side. */
struct batch {
    uint8_t keys[BATCH * sizeof(fast_path_key6)];
    struct fast_path_unit values[BATCH];
    uint32_t count;
    int map;
    size_t key_size;
    uint8_t family, len; /* of the units in it */
};

static struct batch *batch_new(void)
{
    struct batch *b = malloc(sizeof(*b));

    if (b == NULL) {
        errno = ENOMEM;
    }
    return b;
}

static void batch_of(struct batch *b, const struct fast_path *f, uint8_t family)
{
    const bool v4 = family == ADDR_IPV4;

    b->count = 0;
    b->map = v4 ? f->units4 : f->units6;
    b->key_size = v4 ? sizeof(fast_path_key4) : sizeof(fast_path_key6);
    b->family = family;
    b->len = v4 ? 32 : (uint8_t)f->ipv6_unit;
}

/* --- putting in all --- */

static int put_batch(struct batch *b)
{
    uint32_t count = b->count;

    b->count = 0;
    return count == 0 || bpf_map_update_batch(b->map, b->keys, b->values, &count, NULL) == 0 ? 0
                                                                                             : -1;
}

static int fill(struct batch *b, const struct prefix_map *units)
{
    int result = 0;

    for (size_t i = 0; i < units->capacity && result == 0; i++) {
        const struct prefix_slot *s = &units->slots[i];
        const struct prefix unit = prefix_map_prefix(s);

        if (s->family != b->family) {
            continue;
        }
        memcpy(b->keys + b->count * b->key_size, unit.addr.bytes, b->key_size);
        b->values[b->count++] =
            (struct fast_path_unit){.end_ns = (uint64_t)s->until_s * NS_A_SECOND};
        if (b->count == BATCH) {
            result = put_batch(b);
        }
    }
    return result == 0 ? put_batch(b) : -1;
}

int fast_path_fill(struct fast_path *f, const struct prefix_map *units)
{
    struct batch *b = batch_new();
    int result;

    if (b == NULL) {
        return -1;
    }
    batch_of(b, f, ADDR_IPV4);
    result = fill(b, units);
    batch_of(b, f, ADDR_IPV6);
    result = result == 0 ? fill(b, units) : -1;
    free(b);
    return result;
}

/* --- reading all --- */

static void tell(const struct batch *b, fast_path_cb each, void *context)
{
    for (size_t i = 0; i < b->count; i++) {
        struct prefix unit = {.addr = {.family = b->family}, .len = b->len};
        const struct fast_path_unit *value = &b->values[i];
        const struct fast_path_figures figures = {value->opened, value->up, value->down};

        memcpy(unit.addr.bytes, b->keys + i * b->key_size, b->key_size);
        each(context, &unit, &figures);
    }
}

static int read_map(struct batch *b, fast_path_cb each, void *context)
{
    uint32_t at = 0, next = 0;
    bool begins = true;

    for (;;) {
        b->count = BATCH;
        int result = bpf_map_lookup_batch(
            b->map, begins ? NULL : &at, &next, b->keys, b->values, &b->count, NULL);
        if (result != 0 && errno != ENOENT) {
            return -1;
        }
        tell(b, each, context);
        if (result != 0) {
            return 0; /* the last */
        }
        at = next;
        begins = false;
    }
}

int fast_path_each(struct fast_path *f, fast_path_cb each, void *context)
{
    struct batch *b = batch_new();
    int result;

    if (b == NULL) {
        return -1;
    }
    batch_of(b, f, ADDR_IPV4);
    result = read_map(b, each, context);
    batch_of(b, f, ADDR_IPV6);
    result = result == 0 ? read_map(b, each, context) : -1;
    free(b);
    return result;
}
