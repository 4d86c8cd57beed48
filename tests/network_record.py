"""Every address a process and its Python children speak to, written down; and a way to have none.

Put into a folder of its own as `sitecustomize.py` (`recording`), Python runs it at every start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_FILE = "INGOT_TEST_NETWORK_RECORD"
_SITE = f'''
import os, sys

def _heard(event, arguments):
    if event == "socket.connect" or event == "socket.sendto":
        place = arguments[1]
        host = place[0] if isinstance(place, tuple) else None
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode("latin-1")
    if not host or host in ("localhost", "::1") or host.startswith("127."):
        return
    with open(os.environ["{_FILE}"], "a") as record:
        record.write(f"{{event}} {{host}} by {{sys.argv[:3]}}\\n")

if "{_FILE}" in os.environ:
    sys.addaudithook(_heard)
'''
# A new network namespace has nothing but a loopback interface, which is down.
_LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    up = struct.pack("16sh22x", b"lo", 0x1 | 0x40)  # IFF_UP | IFF_RUNNING
    fcntl.ioctl(probe, 0x8914, up)  # SIOCSIFFLAGS
os.execvp(sys.argv[1], sys.argv[1:])
"""
# As root of the machine, or of a user namespace of one's own.
_UNSHARE = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))
_ALONE = (sys.executable, "-c", _LOOPBACK_UP)


def recording(folder: Path) -> tuple[dict[str, str], Path]:
    """Variables under which Python processes record what they speak to outside this machine, and
    the file they write, which does not exist while there is nothing to write.
    """
    site, record = folder / "site", folder / "network.txt"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(_SITE)
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {"PYTHONPATH": path, _FILE: str(record)}, record


def without_network() -> tuple[str, ...] | None:
    """What to put before a command so that it has a loopback interface and no other network;
    `None` where this machine does not permit that.
    """
    for unshare in _UNSHARE:
        try:
            tried = subprocess.run(
                [*unshare, *_ALONE, "true"], capture_output=True, timeout=60, check=False
            )
        except FileNotFoundError:
            return None
        if tried.returncode == 0:
            return (*unshare, *_ALONE)
    return None
