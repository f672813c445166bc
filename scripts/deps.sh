#!/bin/sh
# Installs what scripts/packages.txt names and is missing, and unpacks real mail and Redis servers, and
# a kernel, into .parts. Does nothing, offline and at once, when everything is there.
#
# Servers are never installed: that would start services on this machine and replace its mailer. The
# tests only want their programs. The kernel runs in a virtual machine.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
list=$here/scripts/packages.txt
parts=$here/.parts
root=$parts/root
unpacked="postfix redis-server sasl2-bin nsd prometheus unbound haproxy"
alone="exim4-daemon-light opensmtpd" # each into a folder of its own: all have a sendmail
radius="freeradius freeradius-common freeradius-config freeradius-redis freeradius-utils libfreeradius3"
kea="kea-common kea-dhcp4-server kea-dhcp6-server kea-admin"
fresh_lists=no

die() {
    echo "deps: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        die "no sudo here: as root, run: $*"
    fi
}

missing_packages() {
    dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null |
        sed -n 's/^[hi]i *//p' | sort -u >"$scratch/have"
    sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$list" | sort -u >"$scratch/want"
    comm -13 "$scratch/have" "$scratch/want"
}

update_lists() {
    [ "$fresh_lists" = yes ] && return
    as_root apt-get update -qq || die "apt-get update failed: is the network there?"
    fresh_lists=yes
}

install_missing() {
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    echo "deps: installing $missing"
    update_lists
    # shellcheck disable=SC2086 # a list of words
    as_root apt-get install -y -qq --no-install-recommends $missing ||
        die "apt-get could not install: $missing"
}

unpack() {
    package=$1
    into=$2
    [ -e "$parts/$package.unpacked" ] && return
    echo "deps: unpacking $package"
    mkdir -p "$scratch/$package" "$into"
    # An ordinary user may download with the machine's lists; only when they are too old (or
    # empty) they have to be renewed.
    if ! (cd "$scratch/$package" && apt-get download -qq "$package" 2>"$scratch/why"); then
        update_lists
        (cd "$scratch/$package" && apt-get download -qq "$package") ||
            die "apt-get could not download $package"
    fi
    dpkg -x "$scratch/$package/"*.deb "$into" || die "cannot unpack $package"
    touch "$parts/$package.unpacked"
}

# Debian's own kernel, which a test starts in a virtual machine.
# Its package has another name with each version, of which only the newest can be had.
unpack_kernel() {
    [ "$(dpkg --print-architecture)" = amd64 ] || return 0
    [ -e "$parts/kernel.unpacked" ] && return
    update_lists
    package=$(LC_ALL=C apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: //p')
    [ -n "$package" ] || die "Debian's kernel, linux-image-cloud-amd64, is not to be found"
    rm -rf "$parts/kernel" "$parts/$package.unpacked"
    unpack "$package" "$parts/kernel"
    touch "$parts/kernel.unpacked"
}

# redis-server is a link to a program of redis-tools, which is installed.
link_redis() {
    [ -x "$root/usr/bin/redis-server" ] || ln -sf /usr/bin/redis-check-rdb "$root/usr/bin/redis-server"
}

check_libraries() {
    for file in "$root/usr/bin/redis-server" "$root"/usr/sbin/* "$root"/usr/lib/postfix/sbin/* \
        "$parts"/exim4-daemon-light/usr/sbin/exim4 "$parts"/opensmtpd/usr/sbin/smtpd; do
        LD_LIBRARY_PATH=$root/usr/lib/postfix ldd "$file" 2>/dev/null | sed -n "s|not found|& for $file|p"
    done >"$scratch/lost"
    libs=$(echo "$parts"/freeradius/usr/lib/freeradius "$parts"/kea/usr/lib/*-linux-gnu* | tr ' ' :)
    for file in "$parts"/freeradius/usr/sbin/freeradius "$parts"/freeradius/usr/bin/radclient \
        "$parts"/freeradius/usr/lib/freeradius/rlm_redis*.so "$parts"/kea/usr/sbin/kea-dhcp[46]; do
        LD_LIBRARY_PATH=$libs ldd "$file" 2>/dev/null | sed -n "s|not found|& for $file|p"
    done >>"$scratch/lost"
    [ -s "$scratch/lost" ] || return 0
    cat "$scratch/lost" >&2
    die "libraries are missing: add their packages to scripts/packages.txt"
}

# What the browser tests need from npm, as tests/browser/package-lock.json pins it.
install_browser() {
    wanted=$here/tests/browser/package-lock.json
    cmp -s "$wanted" "$parts/browser/complete" && return
    command -v npm >/dev/null || {
        echo "deps: installing npm"
        update_lists
        as_root apt-get install -y -qq --no-install-recommends npm || die "apt-get could not install npm"
    }
    echo "deps: installing $(sed -n 's|.*"node_modules/\(.*\)".*|\1|p' "$wanted" | tr '\n' ' ')"
    mkdir -p "$parts/browser"
    cp "$here/tests/browser/package.json" "$wanted" "$parts/browser/"
    (cd "$parts/browser" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) ||
        die "npm could not install what the browser tests need: is the network there?"
    cp "$wanted" "$parts/browser/complete"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
chmod 755 "$scratch"

command -v dpkg-query >/dev/null || die "this needs Debian (written for 12, bookworm)"
install_missing
wanted_parts="$unpacked $alone $radius $kea kernel"
if [ "$(cat "$parts/complete" 2>/dev/null)" != "$wanted_parts" ]; then
    for package in $unpacked; do
        unpack "$package" "$root"
    done
    for package in $alone; do
        unpack "$package" "$parts/$package"
    done
    for package in $radius; do
        unpack "$package" "$parts/freeradius"
    done
    for package in $kea; do
        unpack "$package" "$parts/kea"
    done
    unpack_kernel
    link_redis
    check_libraries
    echo "$wanted_parts" >"$parts/complete"
fi
install_browser
