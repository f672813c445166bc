"""Leases as a RADIUS server's calls make them, without the server."""

KEYS = ("3", "g25:{leases}", "g25:{leases}:changes", "g25:{leases}:accounts")


def start(redis, account, *units, session=None, life=3600, age=0):
    """The account holds the units from now on. Some gate has loaded the functions."""
    return redis.cli("fcall", "gate25_lease_start", *KEYS, account, session or f"of {account}", life, age, *units)


def stop(redis, account, *units, session=None, life=3600, age=0):
    return redis.cli("fcall", "gate25_lease_stop", *KEYS, account, session or f"of {account}", life, age, *units)
