#include "proxy/privileges.h"

#include <cap-ng.h>
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/log.h"

void privileges_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) {
        log_warning("cannot raise the limit of descriptors: %m");
    }
}

int privileges_pass_on(void)
{
    if (!capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW)) {
        return 0;
    }
    capng_get_caps_process();
    if (capng_update(CAPNG_ADD, CAPNG_INHERITABLE, CAP_NET_RAW) < 0 ||
        capng_apply(CAPNG_SELECT_CAPS) < 0) {
        return -1;
    }
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0);
}

/* All of `keep` and nothing else, of which `sets` have each. */
static int choose(unsigned keep, capng_type_t sets, const char *wanted_by, struct text *error)
{
    static const struct {
        unsigned bit, capability;
        const char *name;
    } rows[] = {
        {PRIVILEGE_NET_RAW, CAP_NET_RAW, "CAP_NET_RAW"},
        {PRIVILEGE_NET_ADMIN, CAP_NET_ADMIN, "CAP_NET_ADMIN"},
        {PRIVILEGE_BPF, CAP_BPF, "CAP_BPF"},
    };
    const size_t count = sizeof(rows) / sizeof(rows[0]);

    for (size_t i = 0; i < count; i++) {
        if ((keep & rows[i].bit) != 0 &&
            !capng_have_capability(CAPNG_PERMITTED, rows[i].capability)) {
            text_addf(error, "%s needs %s, or root", wanted_by, rows[i].name);
            return -1;
        }
    }
    capng_clear(CAPNG_SELECT_BOTH);
    for (size_t i = 0; i < count; i++) {
        if ((keep & rows[i].bit) != 0 && capng_update(CAPNG_ADD, sets, rows[i].capability) < 0) {
            text_addf(error, "cannot keep %s", rows[i].name);
            return -1;
        }
    }
    return 0;
}

int privileges_drop(unsigned keep, const char *wanted_by, struct text *error)
{
    const capng_type_t sets = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
    bool whole = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;

    if (choose(keep, sets, wanted_by, error) < 0) {
        return -1;
    }
    /* The bounding set is only root's to shrink; without new privileges it says nothing anyway. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        capng_apply(whole ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0) {
        text_addf(error, "cannot give up capabilities: %s", strerror(errno));
        return -1;
    }
    return 0;
}
