"""A stream of log lines as a small server writes them, with odd ones among them, and which these are.

Nine programs write 26 kinds of lines with the values that such lines have: times that go on, addresses,
users, ports, ids, paths, sizes, durations. An odd line is one of six kinds, each of which happens in real
logs.

    python benchmarks/log_lines.py /tmp/logs --lines 100000 --odd 0.01 --seed 1
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

KINDS = ("unseen", "swapped", "encoding", "truncated", "value", "merged")

_USERS = ("root", "anna", "deploy", "backup", "www-data", "postgres", "min-jun", "olga", "git", "jenkins")
_PATHS = (
    "/",
    "/index.html",
    "/api/v1/users/{id}",
    "/api/v1/orders/{id}",
    "/static/app.{hex}.js",
    "/static/style.css",
    "/login",
    "/logout",
    "/search?q={word}",
    "/images/{id}.png",
    "/api/v1/cart",
    "/health",
)
_WORDS = ("shoes", "lamp", "chair", "blue+coat", "table", "phone", "garden", "paper", "mug", "bike")
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) Firefox/115.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0",
    "curl/7.88.1",
    "python-requests/2.31.0",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
)
_STATUS = ("200", "200", "200", "200", "200", "304", "302", "404", "500")
_METHODS = ("GET", "GET", "GET", "GET", "POST", "PUT")
_QUERIES = (
    "SELECT * FROM orders WHERE id = $1",
    "UPDATE carts SET total = $2 WHERE id = $1",
    "COMMIT",
    "BEGIN",
)
_MAILS = ("anna@example.org", "shop@example.com", "info@example.net", "olga@example.org")

# A template's fields are drawn by name; weights make some lines a thousand times as frequent as others.
_TEMPLATES: tuple[tuple[float, str], ...] = (
    (20, '{host} nginx: {ip} - - "{method} {path} HTTP/1.1" {status} {size} "{agent}"'),
    (8, "{host} app[{pid}]: INFO request_id={hex8} user={user} path={path} took={ms}ms"),
    (3, '{host} app[{pid}]: WARN slow query took={slow}ms sql="{query}"'),
    (2, "{host} app[{pid}]: ERROR request_id={hex8} upstream timed out after 30000ms"),
    (5, "{host} postgres[{pid}]: LOG:  duration: {ms}.{three} ms  statement: {query}"),
    (2, "{host} postgres[{pid}]: LOG:  checkpoint starting: time"),
    (2, "{host} postgres[{pid}]: LOG:  checkpoint complete: wrote {id} buffers ({percent}%)"),
    (6, "{host} sshd[{pid}]: Accepted publickey for {user} from {ip} port {port} ssh2"),
    (5, "{host} sshd[{pid}]: Failed password for {user} from {ip} port {port} ssh2"),
    (3, "{host} sshd[{pid}]: Failed password for invalid user {word} from {ip} port {port} ssh2"),
    (4, "{host} sshd[{pid}]: Received disconnect from {ip} port {port}:11: disconnected by user"),
    (4, "{host} sshd[{pid}]: pam_unix(sshd:session): session opened for user {user} by (uid=0)"),
    (4, "{host} sshd[{pid}]: pam_unix(sshd:session): session closed for user {user}"),
    (3, "{host} CRON[{pid}]: ({user}) CMD (/usr/bin/php /srv/app/cron.php --job={word})"),
    (2, "{host} CRON[{pid}]: pam_unix(cron:session): session opened for user {user} by (uid=0)"),
    (3, "{host} kernel: [{uptime}] eth0: link up, 1000 Mbps, full duplex"),
    (
        2,
        "{host} kernel: [{uptime}] TCP: request_sock_TCP: Possible SYN flooding on port {port}.",
    ),
    (1, "{host} kernel: [{uptime}] usb 1-1: new high-speed USB device number {digit} using xhci_hcd"),
    (3, "{host} dhclient[{pid}]: DHCPREQUEST on eth0 to {ip} port 67"),
    (3, "{host} dhclient[{pid}]: DHCPACK from {ip}"),
    (3, "{host} dhclient[{pid}]: bound to {ip} -- renewal in {id} seconds."),
    (
        3,
        "{host} postfix/smtp[{pid}]: {hex10}: to=<{mail}>, relay=mx.example.com[{ip}]:25, "
        "delay={digit}.{digit}, status=sent",
    ),
    (2, "{host} postfix/qmgr[{pid}]: {hex10}: from=<{mail}>, size={size}, nrcpt=1 (queue active)"),
    (2, "{host} redis[{pid}]: DB saved on disk"),
    (2, "{host} redis[{pid}]: {digit} changes in 300 seconds. Saving..."),
    (0.3, "{host} systemd[1]: Started Session {id} of user {user}."),
)
_UNSEEN = (
    "{host} sudo:  {user} : TTY=pts/{digit} ; PWD=/home/{user} ; USER=root ; COMMAND=/bin/bash",
    "{host} kernel: [{uptime}] Out of memory: Killed process {pid} (java) total-vm:{id}kB, anon-rss:{id}kB",
    "{host} app[{pid}]: Traceback (most recent call last): File \"/srv/app/main.py\", line {id}, in handle",
    "{host} kernel: [{uptime}] EXT4-fs error (device sda1): ext4_find_entry:1455: inode #{id}: lblock 0",
    "{host} useradd[{pid}]: new user: name={word}, UID={id}, GID={id}, home=/home/{word}, shell=/bin/bash",
    "{host} nginx: [crit] {pid}#0: *{id} SSL_do_handshake() failed (SSL: error:14209102)",
    "{host} mdadm[{pid}]: Fail event detected on md device /dev/md{digit}, component device /dev/sdb{digit}",
    "{host} auditd[{pid}]: Audit daemon is low on disk space for logging",
)  # fmt: skip
_ODD_USERS = ("' OR 1=1 --", "../../etc/passwd", "%n%n%n", "admin;rm", "\\x90\\x90")
_ODD_PATHS = ("/../../etc/passwd", "/wp-login.php", "/%00%00", "/cgi-bin/.%2e/sh", "/?x=<script>")
_HOSTS = ("web-01", "web-02", "db-01", "mail-01")


class LogWriter:
    """Writes lines one after the other, the time going on.

    Args:
        seed: of everything.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._time = datetime.datetime(2024, 3, 4, 6, 25, 1)
        self._uptime = 12345.0
        self._weights = np.array([weight for weight, _ in _TEMPLATES])
        self._weights /= self._weights.sum()
        self._addresses = [".".join(str(self._whole(1, 255)) for _ in range(4)) for _ in range(300)]

    def usual(self) -> str:
        """A line as most are."""
        template = _TEMPLATES[int(self._random.choice(len(_TEMPLATES), p=self._weights))][1]
        return self._stamped(template)

    def odd(self, kind: str) -> str:
        """A line of one of `KINDS`."""
        return getattr(self, f"_{kind}")()

    def _stamped(self, template: str) -> str:
        self._time += datetime.timedelta(seconds=float(self._random.exponential(0.8)))
        self._uptime += 0.8
        return f"{self._time:%b %e %H:%M:%S} {self._filled(template)}"

    def _filled(self, template: str) -> str:
        fields: dict[str, Callable[[], str]] = {
            "host": lambda: self._one(_HOSTS),
            "ip": lambda: self._one(self._addresses),
            "method": lambda: self._one(_METHODS),
            "path": lambda: self._filled(self._one(_PATHS)),
            "status": lambda: self._one(_STATUS),
            "size": lambda: str(int(self._random.lognormal(7, 1.2))),
            "agent": lambda: self._one(_AGENTS),
            "pid": lambda: str(self._whole(300, 32768)),
            "hex": lambda: self._hex(6),
            "hex8": lambda: self._hex(8),
            "hex10": lambda: self._hex(10).upper(),
            "user": lambda: self._one(_USERS),
            "ms": lambda: str(self._whole(1, 400)),
            "slow": lambda: str(self._whole(1000, 9000)),
            "query": lambda: self._one(_QUERIES),
            "three": lambda: f"{self._whole(0, 1000):03d}",
            "id": lambda: str(self._whole(1, 9999)),
            "percent": lambda: f"{self._whole(0, 10)}.{self._whole(0, 10)}",
            "port": lambda: str(self._whole(32768, 61000)),
            "word": lambda: self._one(_WORDS),
            "uptime": lambda: f"{self._uptime:.6f}",
            "digit": lambda: str(self._whole(0, 10)),
            "mail": lambda: self._one(_MAILS),
        }
        text = template
        for name, draw in fields.items():
            while (place := text.find("{" + name + "}")) >= 0:
                text = text[:place] + draw() + text[place + len(name) + 2 :]
        return text

    def _unseen(self) -> str:
        return self._stamped(self._one(_UNSEEN))

    def _swapped(self) -> str:
        """Two words of the message change places, as where a format string's arguments were mixed up."""
        words = self.usual().split(" ")
        places = np.arange(4, len(words))
        if len(places) < 4:
            return self._swapped()
        first, second = sorted(self._random.choice(places, 2, replace=False))
        if second - first < 2 or words[first] == words[second]:
            return self._swapped()
        words[first], words[second] = words[second], words[first]
        return " ".join(words)

    def _encoding(self) -> str:
        """A few characters became others: UTF-8 read as Latin-1, or bytes that are none of it."""
        text = self.usual()
        place = self._whole(20, max(21, len(text) - 4))
        broken = self._one(("Ã¼", "Ã©", "â€™", "\x00\x00", "Ã¤ÃŸ", "Â£", "ï¿½", "\x1b[31m"))
        return text[:place] + broken + text[place + 1 :]

    def _truncated(self) -> str:
        text = self.usual()
        return text[: self._whole(18, max(19, int(0.8 * len(text))))]

    def _value(self) -> str:
        """A value of a size, a form or a sign that the field never has."""
        odd = {
            "ms": lambda: str(self._whole(100_000, 99_999_999)),
            "size": lambda: f"-{self._whole(1, 9999)}",
            "status": lambda: self._one(("999", "0", "-1", "000", "2000")),
            "ip": lambda: self._one(("999.1.1.1", "0.0.0.0.0", "::ffff:{}", "localhost", "10.0.0")),
            "user": lambda: self._one(_ODD_USERS),
            "path": lambda: self._one(_ODD_PATHS),
            "method": lambda: self._one(("PROPFIND", "get", "TRACE", "\\x16\\x03", "XDEBUG")),
            "port": lambda: self._one(("0", "-1", "99999999", "port")),
            "pid": lambda: self._one(("0", "-1", "99999999999", "??")),
        }  # fmt: skip
        template = self.usual_template()
        names = [name for name in odd if "{" + name + "}" in template]
        if not names:
            return self._value()
        name = self._one(names)
        return self._stamped(template.replace("{" + name + "}", odd[name](), 1))

    def usual_template(self) -> str:
        """Of a line as most are."""
        return _TEMPLATES[int(self._random.choice(len(_TEMPLATES), p=self._weights))][1]

    def _merged(self) -> str:
        """Two programs wrote at once: one line begins inside another."""
        first, second = self.usual(), self.usual()
        return first[: self._whole(25, max(26, len(first) - 5))] + second[7:]

    def _whole(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high))

    def _hex(self, count: int) -> str:
        return "".join(f"{self._whole(0, 16):x}" for _ in range(count))

    def _one(self, values: tuple[str, ...] | list[str]) -> str:
        return values[self._whole(0, len(values))]


def write_stream(path: Path, lines: int, odd: float, seed: int) -> list[str]:
    """Write a stream; the kind of each line, "" for a usual one."""
    writer = LogWriter(seed)
    chance = np.random.Generator(np.random.PCG64([seed, 1]))
    kinds: list[str] = []
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for _ in range(lines):
            kind = KINDS[int(chance.integers(len(KINDS)))] if chance.random() < odd else ""
            text = writer.odd(kind) if kind else writer.usual()
            kinds.append(kind)
            file.write(text + "\n")
    return kinds


def main() -> None:
    """Write stream.log and its kinds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--odd", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    kinds = write_stream(given.folder / "stream.log", given.lines, given.odd, given.seed)
    (given.folder / "kinds.json").write_text(json.dumps(kinds))


if __name__ == "__main__":
    main()
