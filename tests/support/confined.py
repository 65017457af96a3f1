"""Runs a program as Docker runs root by default: few capabilities, and no user namespaces.

    python -m support.confined PROGRAM WORD …

It takes the place of this process. For Linux, as root.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

#: Docker's default list, see docs.docker.com/engine/containers/run, "Runtime privilege and Linux capabilities".
CAPABILITIES = (
    "chown,dac_override,fsetid,fowner,mknod,net_raw,setgid,setuid,setfcap,setpcap,net_bind_service,sys_chroot,kill,"
    "audit_write"
)
#: The number of the system call `unshare`, by machine.
UNSHARE = {"x86_64": 272, "aarch64": 97}
#: From linux/seccomp.h, linux/filter.h and linux/prctl.h.
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, FAIL = 0x7FFF0000, 0x00050000


class Instruction(ctypes.Structure):
    """One step of a filter."""

    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("k", ctypes.c_uint32))


class Program(ctypes.Structure):
    """All steps of a filter."""

    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(Instruction)))


def forbid_unshare() -> None:
    """Have the kernel answer `unshare` with EPERM, to this process and all its children. Raises OSError."""
    steps = (Instruction * 4)(
        Instruction(LOAD_WORD, 0, 0, 0),
        Instruction(JUMP_IF_EQUAL, 0, 1, UNSHARE[platform.machine()]),
        Instruction(RETURN, 0, 0, FAIL | errno.EPERM),
        Instruction(RETURN, 0, 0, ALLOW),
    )
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(len(steps), steps)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter was refused")


if __name__ == "__main__":
    forbid_unshare()
    allowed = ",".join(f"+{name}" for name in CAPABILITIES.split(","))
    os.execvp("setpriv", ["setpriv", f"--bounding-set=-all,{allowed}", "--", *sys.argv[1:]])  # noqa: S606 no shell
