"""What a confined program may not ask of the kernel: numbers of system calls, and a filter of them.

The filter is a program of classic BPF that the kernel runs at every call (seccomp(2)); it looks at
numbers, not at what pointers point to. Files are Landlock's matter, see `confined_child.py`.

Imports the standard library alone: it also runs in an interpreter without site-packages.
"""

from __future__ import annotations

import struct

# By machine: what the kernel calls the architecture, then numbers of calls. Numbers above 423 are
# the same everywhere.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_EVERYWHERE = {
    "pidfd_send_signal": 424,
    "io_uring_setup": 425,  # what it does on a program's behalf no filter sees
    "clone3": 435,
    "fchmodat2": 452,
    "setxattrat": 463,
    "removexattrat": 466,
}


def _numbers(text: str) -> dict[str, int]:
    return {name: int(number) for name, number in (pair.split() for pair in text.split(","))}


_NUMBERS = {
    "x86_64": _numbers("""
        fork 57, vfork 58, clone 56, execve 59, execveat 322, socket 41, socketpair 53,
        ptrace 101, kill 62, tkill 200, tgkill 234, rt_sigqueueinfo 129, rt_tgsigqueueinfo 297,
        process_vm_readv 310, process_vm_writev 311, prlimit64 302, setrlimit 160, mount 165,
        umount2 166, pivot_root 155, chroot 161, unshare 272, setns 308, bpf 321, keyctl 250,
        add_key 248, request_key 249, init_module 175, finit_module 313, delete_module 176,
        kexec_load 246, kexec_file_load 320, reboot 169, perf_event_open 298, userfaultfd 323,
        open_by_handle_at 304, chmod 90, fchmod 91, chown 92, fchown 93, lchown 94, fchownat 260,
        fchmodat 268, utime 132, utimes 235, futimesat 261, utimensat 280, setxattr 188,
        lsetxattr 189, fsetxattr 190, removexattr 197, lremovexattr 198, fremovexattr 199,
        shmget 29, msgget 68, semget 64, mq_open 240, swapon 167, sethostname 170,
        settimeofday 164, clock_settime 227
    """),
    "aarch64": _numbers("""
        clone 220, execve 221, execveat 281, socket 198, socketpair 199, ptrace 117, kill 129,
        tkill 130, tgkill 131, rt_sigqueueinfo 138, rt_tgsigqueueinfo 240, process_vm_readv 270,
        process_vm_writev 271, prlimit64 261, setrlimit 164, mount 40, umount2 39, pivot_root 41,
        chroot 51, unshare 97, setns 268, bpf 280, keyctl 219, add_key 217, request_key 218,
        init_module 105, finit_module 273, delete_module 106, kexec_load 104,
        kexec_file_load 294, reboot 142, perf_event_open 241, userfaultfd 282,
        open_by_handle_at 265, fchmod 52, fchmodat 53, fchown 55, fchownat 54, utimensat 88,
        setxattr 5, lsetxattr 6, fsetxattr 7, removexattr 14, lremovexattr 15, fremovexattr 16,
        shmget 194, msgget 186, semget 190, mq_open 180, swapon 224, sethostname 161,
        settimeofday 170, clock_settime 112
    """),
}
# These end the program; all other calls named above fail with "not permitted".
_FATAL = ("fork", "vfork", "clone", "execve", "execveat", "socket", "socketpair", "ptrace", "kill")
# Bits of a call's record: its number, the architecture, the low half of its first argument.
_NUMBER, _ARCHITECTURE, _FLAGS = 0, 4, 16
_LOAD, _EQUAL, _ABOVE, _ANY_OF, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _FAIL, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NOT_PERMITTED, _NO_SUCH_CALL = 1, 38
_THREAD = 0x00010000  # of clone: a thread of this process, no new one
_OTHER_ABI = 0x40000000  # x86_64's calls of the x32 ABI have numbers from here


def machines() -> list[str]:
    """Those there is a filter for, as `platform.machine` names them."""
    return sorted(_ARCHITECTURES)


def call_filter(machine: str) -> bytes:
    """The filter for a machine: instructions of 8 bytes (struct sock_filter)."""
    numbers = {**_NUMBERS[machine], **_EVERYWHERE}
    code = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_EQUAL, _ARCHITECTURES[machine], skip_true=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        code += [_instruction(_ABOVE, _OTHER_ABI, skip_false=1), _instruction(_RETURN, _KILL)]
    for name, number in numbers.items():
        if name == "clone":  # threads are allowed
            code += [
                _instruction(_EQUAL, number, skip_false=4),
                _instruction(_LOAD, _FLAGS),
                _instruction(_ANY_OF, _THREAD, skip_true=1),
                _instruction(_RETURN, _KILL),
                _instruction(_RETURN, _ALLOW),
            ]
            continue
        answer = _KILL if name in _FATAL else _FAIL | _NOT_PERMITTED
        if name == "clone3":  # its flags are behind a pointer; without it libraries use clone
            answer = _FAIL | _NO_SUCH_CALL
        code += [_instruction(_EQUAL, number, skip_false=1), _instruction(_RETURN, answer)]
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def _instruction(code: int, value: int, skip_true: int = 0, skip_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, skip_true, skip_false, value)
