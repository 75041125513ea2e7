#!/usr/bin/env python3
"""Lets a process in a network namespace of its own reach this machine's loopback interface, and nothing else.

usage: loopback.py PID [PORT]    needs root, and iptables

Connections to 127.0.0.1 (there to PORT, if it is given) in the namespace of PID arrive at a port of this program, which connects to the port that they
were for outside of the namespace. It ends with PID.
"""

import asyncio
import ctypes
import os
import socket
import struct
import subprocess
import sys
import threading

CLONE_NEWNET = 0x40000000
SO_ORIGINAL_DST = 80


def listen_in(namespace, only):
    """A listening socket in a network namespace, from a thread that enters it and ends."""
    found = []

    def enter():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        listener = socket.create_server(("127.0.0.1", 0))
        port = str(listener.getsockname()[1])
        which = ["--dport", only] if only else ["!", "--dport", port]
        rule = ["-p", "tcp", "-d", "127.0.0.1", *which, "-j", "REDIRECT", "--to-ports", port]
        # A child of a thread is in the thread's namespace.
        subprocess.run(["iptables", "-w", "-t", "nat", "-A", "OUTPUT", *rule], check=True)
        found.append(listener)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if not found:
        sys.exit("loopback.py: cannot listen in the namespace")
    return found[0]


async def copy(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader, writer):
    inside = writer.get_extra_info("socket")
    address = inside.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    port = struct.unpack_from("!H", address, 2)[0]
    try:
        outside = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        writer.transport.abort()
        return
    await asyncio.gather(copy(reader, outside[1]), copy(outside[0], writer))
    for end in (writer, outside[1]):
        end.close()


async def main():
    process = sys.argv[1]
    namespace = os.open(f"/proc/{process}/ns/net", os.O_RDONLY)
    listener = listen_in(namespace, sys.argv[2] if len(sys.argv) > 2 else None)
    server = await asyncio.start_server(serve, sock=listener)
    os.close(namespace)
    async with server:
        while os.path.isdir(f"/proc/{process}"):
            await asyncio.sleep(1)


asyncio.run(main())
