"""The walls around generated code, as bare system calls: namespaces, user id, Landlock, seccomp.

Part of :mod:`evomerge_compiler.evaluation.sandbox_server`: standard library only, any Python from
3.8 on. Every layer has a probe that locks a child in and looks whether the wall stands, because a
container runtime may answer "done" to a call that it ignores.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable

LAYERS = ("namespaces", "uid", "landlock", "seccomp")
FIRST_UID = 61000  # a range that no distribution hands out, so that RLIMIT_NPROC counts ours alone

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_THREAD = 0x10000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 1 << 14, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SYS_LANDLOCK_CREATE, SYS_LANDLOCK_ADD, SYS_LANDLOCK_RESTRICT = 444, 445, 446

# System calls that Python itself needs: name, number on x86_64, number on aarch64 (- where it has
# none). From the kernel's asm/unistd_64.h and asm-generic/unistd.h. Not among them is what changes
# a file by its path and is no write to Landlock: chmod, utimens, truncate before Linux 6.2.
SYSTEM_CALLS = """
read 0 63, write 1 64, close 3 57, stat 4 -, fstat 5 80, lstat 6 -, poll 7 -, lseek 8 62,
mmap 9 222, mprotect 10 226, munmap 11 215, brk 12 214, rt_sigaction 13 134,
rt_sigprocmask 14 135, rt_sigreturn 15 139, pread64 17 67, pwrite64 18 68,
readv 19 65, writev 20 66, access 21 -, pipe 22 -, select 23 -, sched_yield 24 124,
mremap 25 216, madvise 28 233, dup 32 23, dup2 33 -, nanosleep 35 101, getpid 39 172,
sendfile 40 71, exit 60 93, uname 63 160, flock 73 32, fsync 74 82, fdatasync 75 83,
ftruncate 77 46, getcwd 79 17, chdir 80 49, fchdir 81 50, rename 82 -, mkdir 83 -, rmdir 84 -,
creat 85 -, link 86 -, unlink 87 -, symlink 88 -, readlink 89 -, umask 95 166,
gettimeofday 96 169, getrlimit 97 163, getrusage 98 165, sysinfo 99 179, times 100 153,
getuid 102 174, getgid 104 176, geteuid 107 175, getegid 108 177, getppid 110 173, getpgrp 111 -,
getgroups 115 158, getpgid 121 155, getsid 124 156, rt_sigpending 127 136,
rt_sigtimedwait 128 137, sigaltstack 131 132, statfs 137 43, fstatfs 138 44,
sched_getparam 143 121, sched_getscheduler 145 120, arch_prctl 158 -, gettid 186 178, time 201 -,
futex 202 98, sched_getaffinity 204 123, getdents64 217 61, set_tid_address 218 96,
restart_syscall 219 128, fadvise64 221 223, clock_gettime 228 113, clock_getres 229 114,
clock_nanosleep 230 115, exit_group 231 94, epoll_wait 232 -, epoll_ctl 233 21, mkdirat 258 34,
newfstatat 262 79, unlinkat 263 35, renameat 264 38, linkat 265 37, symlinkat 266 36,
readlinkat 267 78, faccessat 269 48, pselect6 270 72, ppoll 271 73, set_robust_list 273 99,
epoll_pwait 281 22, fallocate 285 47, eventfd2 290 19, epoll_create1 291 20, dup3 292 24,
pipe2 293 59, getcpu 309 168, renameat2 316 276, getrandom 318 278, copy_file_range 326 285,
statx 332 291, rseq 334 293, faccessat2 439 439
"""
CLONE = {"x86_64": 56, "aarch64": 220}
OPEN_CALLS = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}  # number, position of the flags
# fcntl and ioctl with the requests they may carry: descriptor flags and locks; looks at terminals.
# F_SETOWN with F_SETSIG, say, would send any signal to any process of the same user.
REQUESTS = (
    ((72, 25), (0, 1, 2, 3, 4, 5, 6, 7, 1030)),
    ((16, 29), (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),
)
CLONE3 = 435
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> int:
    """Turns the C convention (-1 and errno) into an exception."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, what + ": " + os.strerror(code))
    return result


def readable_paths() -> list[str]:
    """What the interpreter may open: its library, shared libraries, time zones, three devices."""
    library = os.path.dirname(os.path.realpath(os.__file__))
    return [
        library, os.path.join(sys.base_prefix, "lib"), "/lib", "/lib64", "/usr/lib", "/usr/lib64",
        "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/dev/null", "/dev/zero",
        "/dev/urandom",
    ]  # fmt: skip


def landlock_ruleset(folder: str) -> int:
    """File descriptor of a Landlock ruleset: library read-only, ``folder`` read-write."""
    abi = check(libc.syscall(SYS_LANDLOCK_CREATE, None, 0, 1), "landlock")
    files = (1 << 13) - 1
    files |= (1 << 13) if abi >= 2 else 0  # links and renames across folders
    files |= (1 << 14) if abi >= 3 else 0  # truncate
    files |= (1 << 15) if abi >= 5 else 0  # ioctl on devices
    network = 3 if abi >= 4 else 0  # TCP bind and connect
    scope = 3 if abi >= 6 else 0  # abstract unix sockets, signals
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    attributes = struct.pack("QQQ", files, network, scope)[:size]
    ruleset = check(libc.syscall(SYS_LANDLOCK_CREATE, attributes, size, 0), "landlock_create")
    execute, write, read, list_folder = 1, 2, 4, 8
    rules = [(path, execute | read | list_folder) for path in readable_paths()]
    for path, access in [*rules, ("/dev/null", read | write), (folder, files)]:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue  # this machine has no such path
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= execute | write | read
        rule = struct.pack("=Qi", access, fd)
        check(libc.syscall(SYS_LANDLOCK_ADD, ruleset, 1, rule, 0), "landlock_add_rule")
        os.close(fd)
    return ruleset


def seccomp_program(machine: str) -> bytes:
    """Classic BPF: listed calls pass, threads pass, all else fails with EPERM (seccomp(2))."""
    load, equal, at_least, bits_set, mask, end = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
    allow, kill, fail = 0x7FFF0000, 0x80000000, 0x00050000

    def step(code: int, if_true: int, if_false: int, value: int) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    column = 1 if machine == "x86_64" else 2
    rows = [entry.split() for entry in SYSTEM_CALLS.replace("\n", " ").split(",")]
    program = [
        step(load, 0, 0, 4),
        step(equal, 1, 0, AUDIT_ARCH[machine]),
        step(end, 0, 0, kill),
        step(load, 0, 0, 0),
    ]
    if machine == "x86_64":  # the x32 numbers would be a way around the list
        program += [step(at_least, 0, 1, 0x40000000), step(end, 0, 0, kill)]
    for row in rows:
        if row[column] != "-":
            program += [step(equal, 0, 1, int(row[column])), step(end, 0, 0, allow)]
    # open(..., O_RDONLY | O_TRUNC) empties a file, which Landlock before Linux 6.2 lets pass.
    for number, position in OPEN_CALLS[machine]:
        program += [
            step(equal, 0, 5, number),
            step(load, 0, 0, 16 + 8 * position),
            step(mask, 0, 0, os.O_ACCMODE | os.O_TRUNC),
            step(equal, 0, 1, os.O_TRUNC),
            step(end, 0, 0, fail | errno.EPERM),
            step(end, 0, 0, allow),
        ]
    for numbers, requests in REQUESTS:
        program += [step(equal, 0, 2 + 2 * len(requests), numbers[column - 1])]
        program += [step(load, 0, 0, 24)]
        for request in requests:
            program += [step(equal, 0, 1, request), step(end, 0, 0, allow)]
        program += [step(end, 0, 0, fail | errno.EPERM)]
    # glibc starts threads with clone3 and falls back to clone, whose flags a filter can read.
    program += [step(equal, 0, 1, CLONE3), step(end, 0, 0, fail | errno.ENOSYS)]
    program += [
        step(equal, 0, 3, CLONE[machine]),
        step(load, 0, 0, 16),
        step(bits_set, 0, 1, CLONE_THREAD),
        step(end, 0, 0, allow),
        step(end, 0, 0, fail | errno.EPERM),
    ]
    return b"".join(program)


def install_seccomp(program: bytes) -> None:
    """Puts the filter on this process, for good."""
    buffer = ctypes.create_string_buffer(program, len(program))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    header = Filter(len(program) // 8, ctypes.addressof(buffer))
    check(libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(header), 0, 0), "seccomp")


def enter_namespaces() -> None:
    """Leaves the machine's network, mounts and IPC; children will leave its processes.

    Root can do so by right, others inside a user namespace of their own.
    """
    flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 or libc.unshare(flags) != 0:
        check(libc.unshare(flags | CLONE_NEWUSER), "unshare")
        for name, text in (
            ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")
        ):  # fmt: skip
            with open("/proc/self/" + name, "w") as file:
                file.write(text)
    check(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount private")


def become(uid: int) -> None:
    """Gives up root for an unused user id."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def drop_capabilities() -> None:
    """Empties all capability sets (capset(2), version 3)."""
    header = struct.pack("Ii", 0x20080522, 0)
    check(libc.capset(header, b"\0" * 24), "capset")


def world_readable(path: str) -> bool:
    """Whether any user may enter the folder ``path``."""
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        path = os.path.dirname(path)
    return True


def holds(attempt: Callable[[], bool]) -> bool:
    """Runs ``attempt`` in a child; it may lock itself in. True when it returned True."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if attempt() else 1)
        except BaseException:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def landlock_holds() -> bool:
    """Locks this process and looks whether the root folder is closed to it."""
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    check(libc.syscall(SYS_LANDLOCK_RESTRICT, landlock_ruleset("/nonexistent"), 0), "landlock")
    try:
        os.listdir("/")
    except PermissionError:
        return True
    return False


def seccomp_holds() -> bool:
    """Locks this process and looks whether sockets are closed to it."""
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    install_seccomp(seccomp_program(os.uname().machine))
    try:
        socket.socket()
    except PermissionError:
        return True
    return False


def uid_holds() -> bool:
    """Drops root and looks whether root's rights are gone and the library is still there."""
    become(FIRST_UID)
    os.listdir(os.path.dirname(os.__file__))
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return True
    return False


def lock_in(layers: frozenset[str], slot: int, folder: str, ruleset: int, filter_: bytes) -> None:
    """Takes all rights from this process, which is about to run a program."""
    os.umask(0o077)
    os.chdir(folder)
    if "uid" in layers:
        become(FIRST_UID + slot)
    if "uid" in layers or "namespaces" in layers or os.geteuid() == 0:
        drop_capabilities()
    # A change of user id clears the death signal, so it comes after.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    if "landlock" in layers:
        check(libc.syscall(SYS_LANDLOCK_RESTRICT, ruleset, 0), "landlock_restrict_self")
        os.close(ruleset)
    if "seccomp" in layers:
        install_seccomp(filter_)


def namespaces_hold() -> bool:
    """Enters them and starts a process in a pid namespace of its own, as the server will."""
    enter_namespaces()
    pid = os.fork()
    if pid == 0:
        own = os.open("/proc/self/ns/pid", os.O_RDONLY)
        check(libc.unshare(CLONE_NEWPID), "unshare pids")
        if os.fork() == 0:
            os._exit(0 if os.getpid() == 1 else 1)
        check(libc.setns(own, CLONE_NEWPID), "setns pids")
        os._exit(os.WEXITSTATUS(os.wait()[1]))
    return os.waitpid(pid, 0)[1] == 0


def other_layers(wanted: frozenset[str]) -> frozenset[str]:
    """Those of the wanted layers, namespaces apart, that hold on this machine."""
    layers = set()
    library = os.path.dirname(os.path.realpath(os.__file__))
    if "uid" in wanted and os.geteuid() == 0 and world_readable(library) and holds(uid_holds):
        layers.add("uid")
    if "landlock" in wanted and holds(landlock_holds):
        layers.add("landlock")
    if "seccomp" in wanted and os.uname().machine in AUDIT_ARCH and holds(seccomp_holds):
        layers.add("seccomp")
    return frozenset(layers)
