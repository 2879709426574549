"""Asks the service in this container whether it is ready; its reason is printed, and the exit code is 1, if not."""

import os
import socket
import sys

ANSWER_S = 3.0
READY = b" 200 "

port = int(os.environ["WAYBILL_HTTP_PORT"])
with socket.create_connection(("127.0.0.1", port), ANSWER_S) as connection:
    connection.sendall(b"GET /health/ready HTTP/1.0\r\n\r\n")
    answer = b"".join(iter(lambda: connection.recv(4096), b""))
if READY not in answer.partition(b"\r\n")[0]:
    sys.exit(answer.rpartition(b"\r\n\r\n")[2].decode(errors="replace"))
