"""Plays one scenario against the server with Python's websockets library.

Usage: websockets_client.py ws://HOST:PORT SCENARIO

Ends with status 0 if everything was as it should be. Works with version 10 of the library, which
Debian 12 has, and with the later ones, whose client was written anew.
"""

import asyncio
import sys

try:
    import websockets
except ImportError:
    sys.exit("Python's websockets is not installed; run: apt-get install -y python3-websockets")

EURO = "5 \u20ac"


def status_of(error):
    """The HTTP status of a handshake that failed."""
    response = getattr(error, "response", None)
    return response.status_code if response is not None else error.status_code


async def close_code(connection):
    """Reads up to the end of the connection and returns the code it was closed with."""
    try:
        while True:
            await connection.recv()
    except websockets.exceptions.ConnectionClosed:
        return connection.close_code


async def echo(url):
    async with websockets.connect(url + "/echo/") as connection:
        for message in ["hello", EURO, b"\x00\xff", "", b""]:
            await connection.send(message)
            answer = await connection.recv()
            assert answer == message, (answer, message)
        for number in range(200):
            await connection.send(str(number))
        for number in range(200):
            answer = await connection.recv()
            assert answer == str(number), (answer, number)


async def large(url):
    async with websockets.connect(url + "/echo/", max_size=None) as connection:
        for size in [125, 126, 65535, 65536, 900_000]:
            message = bytes(range(256)) * (size // 256 + 1)
            await connection.send(message[:size])
            assert await connection.recv() == message[:size], size


async def fragmented(url):
    async with websockets.connect(url + "/echo/") as connection:
        await connection.send(["5 ", "\u20ac", "", " only"])
        answer = await connection.recv()
        assert answer == "5 \u20ac only", answer
        await connection.send([b"\x00", b"\x01" * 70000, b"\x02"])
        answer = await connection.recv()
        assert answer == b"\x00" + b"\x01" * 70000 + b"\x02"


async def ping(url):
    async with websockets.connect(url + "/echo/") as connection:
        await asyncio.wait_for(await connection.ping(b"are you there"), 10)
        # Meanwhile the server pings, and closes if it is not answered.
        await asyncio.sleep(0.6)
        await connection.send("still here")
        assert await connection.recv() == "still here"


async def subprotocol(url, path, offered, expected):
    async with websockets.connect(url + path, subprotocols=offered) as connection:
        assert connection.subprotocol == expected, connection.subprotocol


async def client_close(url):
    async with websockets.connect(url + "/echo/") as connection:
        await connection.close(code=4321, reason="au revoir")


async def server_close(url):
    async with websockets.connect(url + "/close/") as connection:
        await connection.send("3456")
        code = await close_code(connection)
        assert code == 3456, code


async def greeting(url):
    async with websockets.connect(url + "/greet/") as connection:
        assert await connection.recv() == "welcome"
        code = await close_code(connection)
        assert code == 4001, code


async def rejected(url):
    try:
        async with websockets.connect(url + "/reject/"):
            raise AssertionError("the connection was accepted")
    except websockets.exceptions.InvalidHandshake as error:
        assert status_of(error) == 403, error


async def hang(url):
    async with websockets.connect(url + "/hang/"):
        print("connected", flush=True)
        await asyncio.sleep(60)


SCENARIOS = {
    "echo": echo,
    "large": large,
    "fragmented": fragmented,
    "ping": ping,
    "subprotocol-configured": lambda url: subprotocol(
        url, "/echo/", ["v3.chat", "v2.chat"], "v2.chat"
    ),
    "subprotocol-chosen": lambda url: subprotocol(
        url, "/choose/", ["v1.chat", "v2.chat"], "v1.chat"
    ),
    "subprotocol-none": lambda url: subprotocol(url, "/echo/", ["other"], None),
    "client-close": client_close,
    "server-close": server_close,
    "greeting": greeting,
    "rejected": rejected,
    "hang": hang,
}

asyncio.run(asyncio.wait_for(SCENARIOS[sys.argv[2]](sys.argv[1]), 15))
