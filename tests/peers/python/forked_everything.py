"""The everything-server of the SDK, without its imports, which take more than a second, at each start.

`serve SOCKET` imports it once, then forks a process for each `run SOCKET SCRIPT`: the process runs the script on the
stdin, stdout and stderr of `run`, which ends with it. `serve` ends with its own stdin.
"""

import os
import pathlib
import runpy
import select
import signal
import socket
import sys


def serve(path):
    sys.path.insert(0, str(pathlib.Path(sys.prefix, "everything")))
    import mcp_everything_server.server  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # The system removes children that have ended.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(100)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                play(connection)
            connection.close()


def play(connection):
    """Runs the script that the connection names; closes the connection by its end."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        script, streams, _, _ = socket.recv_fds(connection, 4096, 3)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        runpy.run_path(script.decode(), run_name="__main__")
        sys.stdout.flush()
    finally:
        os._exit(0)


def run(path, script):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [os.path.abspath(script).encode()], [0, 1, 2])
        connection.recv(1)


if __name__ == "__main__":
    {"serve": serve, "run": run}[sys.argv[1]](*sys.argv[2:])
