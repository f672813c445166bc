#include "spf/spf_sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define MEMORY_MOST      (256ULL << 20)
#define DESCRIPTORS_MOST 1024

/* Names of calls that libevent, libunbound, libspf2 and libc make here. */
static const int allowed[] = {
    /* the loop and the sockets */
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write),
    SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(bind), SCMP_SYS(connect), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(sendto),
    SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(shutdown), SCMP_SYS(ioctl),
    SCMP_SYS(fcntl),
    /* memory, time, chance, the name of this host (libspf2) */
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(uname),
    SCMP_SYS(time), SCMP_SYS(timerfd_settime), SCMP_SYS(getrandom), SCMP_SYS(sched_yield),
    /* the end, be it one's own abort() */
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(tgkill), SCMP_SYS(restart_syscall)};

static int limit(int resource, rlim_t most)
{
    struct rlimit l = {most, most};
    return setrlimit(resource, &l);
}

static int set_limits(void)
{
#ifndef __SANITIZE_ADDRESS__ /* whose shadow alone is larger than any limit */
    if (limit(RLIMIT_AS, MEMORY_MOST) < 0) {
        return -1;
    }
#endif
    return limit(RLIMIT_CORE, 0) < 0 || limit(RLIMIT_NOFILE, DESCRIPTORS_MOST) < 0 ||
                   limit(RLIMIT_NPROC, 0) < 0
               ? -1
               : 0;
}

/* Memory that can be run is not to be had any more, and sockets are those of the Internet. */
static int add_rules(scmp_filter_ctx filter)
{
    static const int families[] = {AF_INET, AF_INET6};
    int failed = seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
        (struct scmp_arg_cmp){2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0});
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        failed |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    }
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        failed |= seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
            (struct scmp_arg_cmp){0, SCMP_CMP_EQ, (scmp_datum_t)families[i], 0});
    }
    return failed ? -1 : 0;
}

static int load_filter(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int result = filter ? add_rules(filter) : -1;
    if (result == 0) {
        result = seccomp_load(filter);
    }
    seccomp_release(filter);
    return result;
}

int spf_sandbox_enter(struct text *error)
{
    bool whole = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) != 0;
    capng_clear(CAPNG_SELECT_BOTH);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0 ||
        capng_apply(whole ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS) < 0) {
        text_addf(error, "cannot give up capabilities: %s", strerror(errno));
        return -1;
    }
    if (set_limits() < 0) {
        text_addf(error, "cannot set limits: %s", strerror(errno));
        return -1;
    }
    if (load_filter() < 0) {
        text_addf(error, "cannot load the seccomp filter");
        return -1;
    }
    return 0;
}
