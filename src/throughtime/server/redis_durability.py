"""What a Redis keeps of what it acknowledged, by its own configuration."""

from __future__ import annotations

from typing import Any

from throughtime.errors import OptionError


def durability_of(client: Any, address: str, durable: bool) -> str:
    """What sessions in a Redis survive, in words.

    Args:
        client: of redis-py.
        address: as it is shown.
        durable: refuse one that may lose what it acknowledged.
    Raises:
        OptionError: it may, and `durable` is asked for.
    """
    import redis

    try:
        found = {name: _value(client.config_get(name), name) for name in _ASKED}
    except redis.ResponseError:  # as where it is rented
        if durable:
            raise OptionError(
                f"--durable: {address} does not tell (CONFIG GET) what it keeps, so that it may be less"
            ) from None
        return f"{address}: survives kill -9 of a server; what Redis keeps it does not tell (CONFIG GET)"
    what, keeps_all = _of_files(found)
    policy = found["maxmemory-policy"]
    if policy != "noeviction" and found["maxmemory"] not in ("", "0"):
        keeps_all = False
        what += f"; Redis drops sessions when memory is short (maxmemory-policy {policy}): set noeviction"
    if durable and not keeps_all:
        raise OptionError(
            f"--durable: {address} may lose what it acknowledged ({what}): set appendonly yes, "
            f"appendfsync always, and maxmemory-policy noeviction"
        )
    return f"{address}: survives kill -9 of a server; {what}"


_ASKED = ("appendonly", "appendfsync", "save", "maxmemory", "maxmemory-policy")


def _of_files(found: dict[str, str]) -> tuple[str, bool]:
    if found["appendonly"] == "yes":
        fsync = found["appendfsync"]
        shown = f"appendonly yes, appendfsync {fsync}"
        if fsync == "always":
            return f"survives a crash of Redis, of its system, and a power failure ({shown})", True
        lost = (
            "the last second may be lost" if fsync == "everysec" else "the last half minute or so may be lost"
        )
        return (
            f"survives a crash of Redis; {lost} in a crash of its system or a power failure ({shown})",
            False,
        )
    if found["save"]:
        return (
            f"what came after Redis's last dump is lost when it or its system crashes (appendonly no, save "
            f"{found['save']})"
        ), False
    return "all of it is lost when Redis ends (appendonly no, no save)", False


def _value(reply: Any, name: str) -> str:
    value = reply.get(name, reply.get(name.encode(), ""))
    return value.decode() if isinstance(value, bytes) else str(value)
