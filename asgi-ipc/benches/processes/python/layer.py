"""Python's asgi_ipc, measured as the layer of this crate is: see ../main.rs.

layer.py pairs PREFIX SIZE WAITING PAIRS     nanoseconds for a send and a receive in one process
layer.py throughput PREFIX SIZE MESSAGES     messages per second from one process to another
"""

import os
import sys
import time

import asgi_ipc
import posix_ipc

CHANNEL = "ping"


def open_layer(prefix):
    return asgi_ipc.IPCChannelLayer(prefix=prefix, capacity=1000000, expiry=3600)


def pairs(prefix, size, waiting, count):
    layer = open_layer(prefix)
    message = {"content": b"\7" * (size - 12)}
    for _ in range(waiting):
        layer.send(CHANNEL, message)
    start = time.perf_counter()
    for _ in range(count):
        layer.send(CHANNEL, message)
        assert layer.receive([CHANNEL])[0] == CHANNEL
    print((time.perf_counter() - start) * 1e9 / count)


def throughput(prefix, size, count):
    layer = open_layer(prefix)
    start = time.perf_counter()
    if os.fork() == 0:
        layer = open_layer(prefix)
        message = {"content": b"\7" * (size - 12)}
        for _ in range(count):
            layer.send(CHANNEL, message)
        os._exit(0)
    left = count
    while left:
        # It never waits, whatever it is asked to do.
        if layer.receive([CHANNEL], block=True)[0] is not None:
            left -= 1
    print(count / (time.perf_counter() - start))
    os.wait()


def remove(prefix):
    for store in ("messages", "groups"):
        posix_ipc.unlink_shared_memory("/%s-%s" % (prefix, store))
        posix_ipc.unlink_semaphore("/%s-%s" % (prefix, store))


try:
    globals()[sys.argv[1]](sys.argv[2], *map(int, sys.argv[3:]))
finally:
    remove(sys.argv[2])
