"""Watch what a command tries to reach besides this machine: in Python by an audit hook, below it by the kernel.

    done = run_watched([sys.executable, "-m", "deepicd", "demo", out], tmp_path)
    done.attempts      # ['socket.getaddrinfo example.org'], each of them refused
    done.without_route # packets and connections that found no way out; None where the system has no namespaces

The hook is set in every Python process that the command starts. It sees nothing of libraries that open sockets
themselves, so on Linux the command also runs in a network namespace whose only device is loopback; the kernel counts
there what had nowhere to go.
"""

import fcntl
import ipaddress
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", sys.executable, __file__]
ADDRESSED = {"socket.connect", "socket.sendto", "socket.sendmsg"}
NAMED = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
SET_FLAGS, UP = 0x8914, 1  # SIOCSIFFLAGS and IFF_UP of Linux


@dataclass(frozen=True)
class Watched:
    code: int
    out: str
    err: str
    attempts: list[str]
    without_route: int | None


def install(report: str) -> None:
    """Refuse, from now on, what this process asks of any other machine, and append it to a file."""

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in NAMED:
            host = arguments[0]
        elif event in ADDRESSED and isinstance(address := arguments[1], tuple) and _is_internet(arguments[0]):
            host = address[0]
        else:
            return
        if not _is_here(host):
            with Path(report).open("a", encoding="utf-8") as file:
                file.write(f"{event} {host}\n")
            raise PermissionError(f"{event} {host} is refused: this process keeps to loopback")

    sys.addaudithook(watch)


def _is_internet(socket_: object) -> bool:
    return isinstance(socket_, socket.socket) and socket_.family in (socket.AF_INET, socket.AF_INET6)


def _is_here(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return name in (None, "", "localhost") or ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


def has_namespaces() -> bool:
    """Return whether this system lets a user make a network namespace."""
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run_watched(command: list[object], scratch: Path, environment: Mapping[str, str] | None = None) -> Watched:
    """Run a command, and what it starts, on loopback alone."""
    report, hook = scratch / "attempts.txt", scratch / "hook"
    report.unlink(missing_ok=True)
    hook.mkdir(exist_ok=True)
    (hook / "sitecustomize.py").write_text(f"import loopback\nloopback.install({str(report)!r})\n")
    paths = [str(hook), str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    is_enclosed = has_namespaces()
    done = subprocess.run(
        [*(NAMESPACE if is_enclosed else []), *map(str, command)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths)},
    )
    attempts = report.read_text().splitlines() if report.exists() else []
    out, _, count = done.stdout.rpartition("\n") if is_enclosed else (done.stdout, "", "null")
    return Watched(done.returncode, out, done.stderr, attempts, json.loads(count))


def _run_enclosed(command: list[str]) -> int:
    """Run a command in this namespace, print how much of it found no way out, and return its exit code."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))
    code = subprocess.run(command, check=False).returncode
    lines = [line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Ip:")]
    count = int(dict(zip(*lines, strict=True))["OutNoRoutes"])
    snmp6 = Path("/proc/net/snmp6")
    if snmp6.exists():  # absent where the kernel has no IPv6
        count += int(dict(line.split() for line in snmp6.read_text().splitlines())["Ip6OutNoRoutes"])
    print(f"\n{count}", end="")
    return code


if __name__ == "__main__":
    sys.exit(_run_enclosed(sys.argv[1:]))
