"""The smallest possible download: a socket into which the kernel copies a file.

`python -m benchmarks.bare_sender FILE PORT` answers every request on the loopback with the file.
"""

import socketserver
import sys
from http import HTTPStatus
from pathlib import Path

HEAD_END = b"\r\n"


class Sender(socketserver.StreamRequestHandler):
    """Reads one request, whatever it asks for, and sends the server's file."""

    server: "SenderServer"

    def handle(self) -> None:
        """Answer the request and close the connection."""
        while self.rfile.readline() not in (HEAD_END, b""):
            pass
        with self.server.file.open("rb") as file:
            size = self.server.file.stat().st_size
            head = f"HTTP/1.1 {HTTPStatus.OK} OK\r\nContent-Length: {size}\r\n\r\n"
            self.wfile.write(head.encode())
            self.connection.sendfile(file)


class SenderServer(socketserver.ThreadingTCPServer):
    """Sends one file, each time from a thread of its own."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, file: Path, port: int) -> None:
        self.file = file
        super().__init__(("127.0.0.1", port), Sender)


def main() -> None:
    """Serve until killed."""
    file, port = sys.argv[1:]
    with SenderServer(Path(file), int(port)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
