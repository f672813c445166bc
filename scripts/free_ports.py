"""Ports of this machine's loopback that nobody listens at: free_ports.py FIRST COUNT

Prints COUNT of them, from FIRST on, and says on standard error which of those it was asked for are taken.
"""

import socket
import sys


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def main():
    first, count = int(sys.argv[1]), int(sys.argv[2])
    found = []
    for port in range(first, 65536):
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
        elif port < first + count:
            print(f"Port {port} of 127.0.0.1 is taken: the next free one is used.", file=sys.stderr)
    if len(found) < count:
        sys.exit(f"free_ports.py: fewer than {count} ports are free from {first} on")
    print(*found)


if __name__ == "__main__":
    main()
