"""What both the tests and their runner must know: the servers there are."""

import os

SERVERS = ("postfix-no", "postfix-normalize", "postfix-reject", "exim", "aiosmtpd", "opensmtpd")
CHOICE = "DIFFERENTIAL_SERVER"  # the environment's word for one of them: the runner's parts are a server each


def wanted():
    return [os.environ[CHOICE]] if CHOICE in os.environ else SERVERS
