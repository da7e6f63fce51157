"""One line where another process of a run is lost: JAX aborts this one from a thread of its own, with a stack of C++.

As a program this file stands between the stderr of such a process and the real one; it imports nothing heavy.
"""

import os
import re
import subprocess
import sys

LOST = "another process of the run is lost; the same command resumes, on any number of hosts"

_OF_JAX = re.compile(rb"^[EF]\d{4} .*(coordination_service|JAX distributed service)", re.MULTILINE)
_OF_COLLECTIVE = re.compile(r"Gloo \w+ failed|NCCL operation .*failed")


def tells_of_loss(text: str) -> bool:
    """Whether an exception's text is that of a collective without its other end."""
    return _OF_COLLECTIVE.search(text) is not None


def watch_stderr() -> None:
    """From now on, what JAX says of lost processes comes to stderr as one line, and all else as it is."""
    process = subprocess.Popen([sys.executable, "-S", "-E", __file__], stdin=subprocess.PIPE)
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    process.returncode = 0  # nobody waits for it: it ends after this process and its children


def _pass_on() -> None:
    told = False
    while text := os.read(0, 1 << 16):
        if not told and (found := _OF_JAX.search(text)):
            text, told = text[: found.start()] + f"error: {LOST}\n".encode(), True
        elif told:  # the stack, and errors that follow from the first
            continue
        os.write(2, text)


if __name__ == "__main__":
    _pass_on()
