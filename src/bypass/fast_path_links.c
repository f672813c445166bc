/* Where the fast path stands: a filter of tc for what comes in on a link. It is told from others'
 * filters by its priority and its handle. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bypass/fast_path.h"
#include "fast_path_internal.h"

#define PRIORITY 2525
#define HANDLE   25

static struct bpf_tc_hook hook_of(unsigned link)
{
    return (struct bpf_tc_hook){
        .sz = sizeof(struct bpf_tc_hook),
        .ifindex = (int)link,
        .attach_point = BPF_TC_INGRESS,
    };
}

static struct bpf_tc_opts filter(void)
{
    return (struct bpf_tc_opts){
        .sz = sizeof(struct bpf_tc_opts), .handle = HANDLE, .priority = PRIORITY};
}

static uint32_t number_of(int program)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);

    return bpf_obj_get_info_by_fd(program, &info, &size) == 0 ? info.id : 0;
}

static bool stands_on(const struct fast_path *f, const struct bpf_tc_hook *hook)
{
    struct bpf_tc_opts found = filter();

    return bpf_tc_query(hook, &found) == 0 && found.prog_id == number_of(f->program);
}

/* The program reads packets from their Ethernet header on. */
static bool is_ethernet(const char *link)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is;

    memcpy(request.ifr_name, link, strnlen(link, sizeof(request.ifr_name) - 1));
    is = fd >= 0 && ioctl(fd, SIOCGIFHWADDR, &request) == 0 &&
         request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
    if (fd >= 0) {
        close(fd);
    }
    return is;
}

int fast_path_attach(struct fast_path *f, const char *link, struct text *error)
{
    unsigned number = if_nametoindex(link);
    struct bpf_tc_hook hook = hook_of(number);
    struct bpf_tc_opts ours = filter();
    int result;

    if (number == 0) {
        text_addf(error, "%s: %s", link, strerror(errno));
        return -1;
    }
    if (stands_on(f, &hook)) {
        return 0;
    }
    if (!is_ethernet(link)) {
        text_addf(error, "%s: no Ethernet link", link);
        return -1;
    }
    result = bpf_tc_hook_create(&hook);
    if (result == 0 || result == -EEXIST) {
        ours.prog_fd = f->program;
        ours.flags = BPF_TC_F_REPLACE;
        result = bpf_tc_attach(&hook, &ours);
    }
    if (result != 0) {
        text_addf(error, "%s: %s", link, strerror(-result));
    }
    return result == 0 ? 0 : -1;
}

void fast_path_detach(void)
{
    struct if_nameindex *links = if_nameindex();

    libbpf_set_print(NULL);
    for (const struct if_nameindex *l = links; l != NULL && l->if_index != 0; l++) {
        struct bpf_tc_hook hook = hook_of(l->if_index);
        struct bpf_tc_opts found = filter(), ours = filter();

        if (bpf_tc_query(&hook, &found) == 0) {
            (void)bpf_tc_detach(&hook, &ours);
        }
    }
    if_freenameindex(links);
}
