"""Sends or receives over asgi_redis: the Python half of the benchmark in this folder.

    peer.py ROLE URL COUNT

For each line of standard input it does once what its role says with COUNT messages, and writes a
line: when it began to send or ended receiving (Unix time in seconds), or how long it took if it did
both, and how many messages it was.
"""

import sys
import time

from asgi_redis import RedisChannelLayer

MESSAGE = {"text": "x" * 64}


def send(layer, count):
    begin = time.time()
    for _ in range(count):
        layer.send("pairs", MESSAGE)
    return begin, count


def receive(layer, count):
    return take(layer, "pairs", count)


def join(layer, count):
    begin = time.time()
    for member in range(count):
        layer.group_add("crowd", "daphne.response.AbCdEf!%010d" % member)
    return begin, count


def both(layer, count):
    begin = time.time()
    for _ in range(count):
        layer.send("both", MESSAGE)
        layer.receive(["both"], block=True)
    return time.time() - begin, count


def send_group(layer, count):
    begin = time.time()
    layer.send_group("crowd", MESSAGE)
    return begin, count


def receive_group(layer, count):
    return take(layer, "daphne.response.AbCdEf!", count)


def take(layer, channel, count):
    """Ends with the last message, or when none has come for the five seconds that a receive waits."""
    channels = [channel]
    last = time.time()
    for taken in range(count):
        channel, _ = layer.receive(channels, block=True)
        if channel is None:
            return last, taken
        last = time.time()
    return last, count


ROLES = {
    "join": join,
    "send": send,
    "receive": receive,
    "both": both,
    "send-group": send_group,
    "receive-group": receive_group,
}


def main():
    role, url, count = sys.argv[1:]
    count = int(count)
    layer = RedisChannelLayer(hosts=[url], capacity=10 * count)
    for _ in sys.stdin:
        when, messages = ROLES[role](layer, count)
        print("%.6f %d" % (when, messages), flush=True)


main()
