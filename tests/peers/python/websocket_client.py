"""Client of a websocket: `websocket_client.py URL [ORIGIN]`. Sends each line of stdin; writes each message, and the end."""

import sys
import threading

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect


def send_lines(websocket):
    try:
        for line in sys.stdin:
            websocket.send(line.strip())
    except ConnectionClosed:
        pass


origin = sys.argv[2] if len(sys.argv) > 2 else None
try:
    with connect(sys.argv[1], origin=origin, open_timeout=120, ping_interval=None) as websocket:
        print("open", flush=True)
        threading.Thread(target=send_lines, args=[websocket], daemon=True).start()
        while True:
            print(websocket.recv(), flush=True)
except InvalidStatus as error:
    print(f"refused {error.response.status_code}", flush=True)
except ConnectionClosed:
    print("closed", flush=True)
