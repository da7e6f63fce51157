"""How a program ends that is not let come to its end: stopped from outside, its reader gone, another process lost.

Imports nothing heavy. As a program it stands between the stderr of one of several processes and the real one.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

INTERRUPTED, TERMINATED, NOBODY_READS = 130, 143, 141
"""Exit codes, as shells have them: 128 + the number of SIGINT, SIGTERM, SIGPIPE."""


AGAIN, PATIENCE = 0.05, 10.0
"""Seconds."""

IMPORTS = "<frozen importlib._bootstrap>"
"""Where Python says that the code of its imports stands."""


LOST = "another process of the run is lost; the same command resumes, on any number of hosts"

_OF_JAX = re.compile(rb"^[EF]\d{4} .*(coordination_service|JAX distributed service)", re.MULTILINE)
_OF_COLLECTIVE = re.compile(r"Gloo \w+ failed|NCCL operation .*failed")


class Terminated(BaseException):
    """The system, Slurm or Kubernetes asks the process to end (SIGTERM), and kills it soon after."""


def run_quietly(program: Callable[[], int]) -> int:
    """Runs a program; gives its exit code, and a line instead of a traceback where it is stopped from outside."""
    try:
        with _on_sigterm(_terminate), _raised_again(), _interrupts_noted():
            code = program()
            sys.stdout.flush()  # here, and not at the exit, where a broken pipe would be told
            return code
    except KeyboardInterrupt:
        print("\ninterrupted; the same command resumes", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print("terminated; the same command resumes", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:  # `guided_jax --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOBODY_READS


def end_soon(code: int) -> int:
    """Gives the exit code of this process. Where it was stopped it ends in any case after some seconds: at its exit it
    would wait for threads and processes that may not answer."""
    if code in (INTERRUPTED, TERMINATED):
        timer = threading.Timer(PATIENCE, os._exit, (code,))
        timer.daemon = True
        timer.start()
    return code


@contextlib.contextmanager
def _raised_again() -> Iterator[None]:
    """Within, a signal is sent again where its exception was lost: in a callback of the garbage collector, as JAX's."""
    before, signals = sys.unraisablehook, {KeyboardInterrupt: signal.SIGINT, Terminated: signal.SIGTERM}

    def hook(lost: Any) -> None:
        if (number := signals.get(lost.exc_type)) is None:
            before(lost)
        else:
            _send_again(number)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        if sys.unraisablehook is hook:  # else another one was put before it, which has to stay (`learning.damage`)
            sys.unraisablehook = before


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Within, SIGTERM is noted and nothing else; yields a function that tells whether it has come.

    That function raises KeyboardInterrupt where a Ctrl-C came and was lost.
    """
    came = threading.Event()

    def asked() -> bool:
        if _interrupted.is_set():
            raise KeyboardInterrupt
        return came.is_set()

    with _on_sigterm(lambda *_: came.set()):
        yield asked


_interrupted = threading.Event()


@contextlib.contextmanager
def _interrupts_noted() -> Iterator[None]:
    """Within, Ctrl-C is noted beside what it raises, which JAX's tracing can lose: it has `except:` for all."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def note(number: int, frame: FrameType | None) -> None:
        _interrupted.set()
        if _imports(frame):
            _send_again(number)
        else:
            signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _interrupted.clear()


@contextlib.contextmanager
def _on_sigterm(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only it may
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    if _imports(frame):
        _send_again(number)
    else:
        raise Terminated


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported: raising in there makes a native one end in ImportError, or in a crash."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTS:
            return True
        frame = frame.f_back
    return False


def _send_again(number: int) -> None:
    threading.Timer(AGAIN, os.kill, (os.getpid(), number)).start()


def tells_of_loss(text: str) -> bool:
    """Whether an exception's text is that of a collective without its other end."""
    return _OF_COLLECTIVE.search(text) is not None


def watch_stderr() -> None:
    """From now on, what JAX says of lost processes comes to stderr as one line, and all else as it is.

    JAX says it, with a stack of C++, from a thread that then aborts the process: nothing in here could do it.
    """
    process = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE)
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()
    process.returncode = 0  # nobody waits for it: it ends after this process and its children


def _pass_on() -> None:
    told = False
    while text := os.read(0, 1 << 16):
        if told:  # the stack, and errors that follow from the first
            continue
        if found := _OF_JAX.search(text):
            text, told = text[: found.start()] + f"error: {LOST}\n".encode(), True
        os.write(2, text)


if __name__ == "__main__":
    _pass_on()
