"""What both the tests and their runner must know: the servers there are, and what may be asked for.

`python3 -m tests.differential.names` checks what is asked for, and says what is allowed.
"""

import os
import sys

SERVERS = ("postfix-no", "postfix-normalize", "postfix-reject", "exim", "aiosmtpd", "opensmtpd")
CHOICE = "DIFFERENTIAL_SERVER"  # the environment's word for one of them: the runner's parts are a server each
LEAST, MOST = 200, 10_000_000  # fewer sessions may happen to tell nothing
NUMBERS = {"DIFFERENTIAL_N": ("N", "2000", LEAST, MOST), "DIFFERENTIAL_SEED": ("SEED", "1", 0, 2**63 - 1)}


def wanted():
    return [os.environ[CHOICE]] if CHOICE in os.environ else SERVERS


def number(variable):
    """The number in that variable of the environment; ValueError: it is none that is allowed."""
    name, usual, least, most = NUMBERS[variable]
    text = os.environ.get(variable, usual)
    if not (text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most):
        raise ValueError(f"{name}={text}: allowed is a whole number from {least} to {most}")
    return int(text)


def count():
    """Sessions to send to each server."""
    return number("DIFFERENTIAL_N")


def seed():
    """What they are made from."""
    return number("DIFFERENTIAL_SEED")


if __name__ == "__main__":
    try:
        count(), seed()  # pylint: disable=expression-not-assigned
    except ValueError as error:
        sys.exit(f"make differential: {error}")
