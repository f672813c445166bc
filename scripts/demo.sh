#!/bin/sh
# `make demo`: brings a lab up, tells the story of demo.py in it, takes it down again.
# KEEP=1 leaves everything running, with instructions.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
lab="$here/tests/lab/lab"
GATE25_LAB_RECORD="$here/build/demo-lab.json"
export GATE25_LAB_RECORD

# A relay of an earlier demo ends by itself once that demo's lab is gone; until then it holds its port.
wait_for_relays() {
    for file in "$here"/build/demo/*.pid; do
        [ -e "$file" ] || continue
        tries=50
        while [ $tries -gt 0 ] && kill -0 "$(cat "$file")" 2>/dev/null; do
            sleep 0.1
            tries=$((tries - 1))
        done
        rm -f "$file"
    done
}

"$lab" status >/dev/null 2>&1 && "$lab" down >/dev/null
keep=${KEEP:-}
if [ "$keep" = 1 ]; then
    wait_for_relays
    GATE25_DEMO_PORTS=$(/usr/bin/python3 "$here/scripts/free_ports.py" 8443 3) || exit 1
    export GATE25_DEMO_PORTS
fi
"$lab" up >/dev/null || exit 1
trap '[ "$keep" = 1 ] || "$lab" down >/dev/null 2>&1' EXIT
trap 'keep=; exit 130' INT TERM HUP

"$lab" run router /usr/bin/python3 "$here/scripts/demo.py"
status=$?
if [ "$keep" = 1 ]; then
    # The site, for a browser on this machine, on loopback only; ends with the lab.
    for port in $GATE25_DEMO_PORTS; do
        /usr/bin/python3 "$here/scripts/relay.py" --background --pid "$here/build/demo/$port.pid" \
            "tcp:127.0.0.1:$port" "unix:$here/build/demo/$port.sock" || {
            echo "The site is not at https://localhost:$port/: somebody has taken that port meanwhile." >&2
            status=1
        }
    done
    cat <<EOF

The site is at the addresses above (your browser will warn of the certificate: it is the demo's own).

The lab stays up. From this folder:

    export GATE25_LAB_RECORD=build/demo-lab.json
    tests/lab/lab run gate1 build/bin/gate25ctl --config /run/gate25-lab/demo.conf list
    tests/lab/lab run gate1 build/bin/gate25ctl --config /run/gate25-lab/demo.conf log 10.20.66.6
    tests/lab/lab run subscribers swaks --server 198.51.100.10 --local-interface 10.20.1.1 \\
        --from me@home.example --to user@mx.example
    tests/lab/lab shell gate1
    tests/lab/lab down
EOF
fi
exit $status
