"""Runs a program on a pseudo-terminal, types what it is told, and prints what the terminal showed.

Standard input is JSON: {"argv", "columns", "type": [[milliseconds to wait before, text], …], "seconds"}.
Standard output is JSON: {"shown", "stderr", "code"}; standard error of the program is apart when "stderr" is "pipe".
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time


def main():
    task = json.load(sys.stdin)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, task["columns"], 0, 0))
    aside = task.get("aside", "none")
    process = subprocess.Popen(
        task["argv"],
        stdin=slave,
        stdout=subprocess.PIPE if aside == "stdout" else slave,
        stderr=subprocess.PIPE if aside == "stderr" else slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    beside = process.stdout or process.stderr
    shown, other = b"", b""
    deadline = time.time() + task.get("seconds", 20)
    typed = list(task.get("type", []))
    due = time.time() + typed[0][0] / 1000 if typed else None
    sources = [master] + ([beside.fileno()] if beside else [])
    while sources and time.time() < deadline:
        ready, _, _ = select.select(sources, [], [], 0.02)
        for source in ready:
            try:
                chunk = os.read(source, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                sources.remove(source)
            elif source == master:
                shown += chunk
            else:
                other += chunk
        if due is not None and time.time() >= due:
            os.write(master, typed.pop(0)[1].encode())
            due = time.time() + typed[0][0] / 1000 if typed else None
        if process.poll() is not None and not ready:
            break
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    json.dump({"shown": shown.decode(errors="replace"), "aside": other.decode(errors="replace"), "code": process.wait()}, sys.stdout)


main()
