"""A channel layer that speaks to RabbitMQ as asgi_rabbitmq 0.5.2 does.

The original is not on PyPI. This one declares the queues and exchanges recorded from it, and
publishes what it was seen to publish, with the same client library (pika 0.10); it is made to those
records, and was compared with the original. Tests use that itself where they are told its folder.
"""

import base64
import hashlib
import random
import string
import threading
import time

import msgpack
import pika
from asgiref.base_layer import BaseChannelLayer
from pika.exceptions import ChannelClosed

DEAD_LETTERS = "dead-letters"
MARKER = "expire.bind.%s.%s"

# How long a blocking receive waits, and how often it looks, in seconds.
WAIT = 5
LOOK_AGAIN = 0.005


def queue_of(channel):
    """The part up to the last `!`, if there is one."""
    head, mark, _ = channel.rpartition("!")
    return head + mark if mark else channel


def local_part(channel):
    return channel.rpartition("!")[2]


class Thread(threading.local):
    """What each thread has of its own: pika's connections are not to be shared."""

    connection = None
    amqp_channel = None


class PeerChannelLayer(BaseChannelLayer):

    extensions = ["groups"]

    def __init__(self, url, expiry=60, group_expiry=86400, capacity=100, channel_capacity=None,
                 symmetric_encryption_keys=None):
        super().__init__(expiry=expiry, group_expiry=group_expiry, capacity=capacity,
                         channel_capacity=channel_capacity)
        self.parameters = pika.URLParameters(url)
        self.fernet = make_fernet(symmetric_encryption_keys)
        self.thread = Thread()
        self.starting = threading.Lock()
        self.undertaker = None

    # The API of channel layers.

    def send(self, channel, message):
        assert self.valid_channel_name(channel)
        declared = self.declare_queue(queue_of(channel))
        if declared.method.message_count >= self.get_capacity(channel):
            raise self.ChannelFull
        self.publish("", queue_of(channel), self.pack(message), self.properties(channel))

    def receive(self, channels, block=False):
        for channel in channels:
            assert self.valid_channel_name(channel, receive=True)
        end = time.monotonic() + (WAIT if block else 0)
        while True:
            for channel in channels:
                self.declare_queue(queue_of(channel))
                found = self.amqp.basic_get(queue=queue_of(channel))
                if found[0] is not None:
                    return self.take(channel, *found)
            if time.monotonic() >= end:
                return None, None
            time.sleep(LOOK_AGAIN)

    def new_channel(self, pattern):
        assert pattern.endswith("?")
        name = pattern + "".join(random.choice(string.ascii_letters) for _ in range(20))
        self.declare_queue(name)
        return name

    def group_add(self, group, channel):
        assert self.valid_group_name(group) and self.valid_channel_name(channel)
        self.leave_marker(group, channel)
        self.amqp.exchange_declare(exchange=group, exchange_type="fanout")
        if "!" in channel:
            self.amqp.queue_declare(queue=channel, arguments={
                "x-dead-letter-exchange": DEAD_LETTERS,
                "x-expires": self.group_expiry * 1000,
                "x-max-length": 0,
            })
            self.amqp.queue_bind(queue=channel, exchange=group)
            return
        self.amqp.exchange_declare(exchange=channel, exchange_type="fanout", auto_delete=True)
        if "?" not in channel:
            self.declare_queue(channel)
        self.amqp.exchange_bind(destination=channel, source=group)
        self.amqp.queue_bind(queue=channel, exchange=channel)

    def group_discard(self, group, channel):
        assert self.valid_group_name(group) and self.valid_channel_name(channel)
        self.discard_with(self.amqp, group, channel)

    def send_group(self, group, message):
        assert self.valid_group_name(group)
        # The broker closes the AMQP channel if nobody ever joined.
        amqp_channel = self.connection.channel()
        amqp_channel.basic_publish(exchange=group, routing_key="", body=self.pack(message),
                                   properties=self.properties())
        try:
            amqp_channel.close()
        except ChannelClosed:
            pass

    # What the API is made of.

    @property
    def connection(self):
        if self.thread.connection is None or not self.thread.connection.is_open:
            with self.starting:
                if self.undertaker is None:
                    self.undertaker = Undertaker(self)
                    self.undertaker.start()
            self.undertaker.ready.wait()
            self.thread.connection = pika.BlockingConnection(self.parameters)
        return self.thread.connection

    @property
    def amqp(self):
        connection = self.connection
        if self.thread.amqp_channel is None or not self.thread.amqp_channel.is_open:
            self.thread.amqp_channel = connection.channel()
        return self.thread.amqp_channel

    def declare_queue(self, name):
        return self.amqp.queue_declare(queue=name, arguments={
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-expires": self.expiry * 2000,
        })

    def publish(self, exchange, routing_key, body, properties=None):
        self.amqp.basic_publish(exchange=exchange, routing_key=routing_key, body=body,
                                properties=properties)

    def properties(self, channel=""):
        headers = {"asgi_channel": local_part(channel)} if "!" in channel else None
        return pika.BasicProperties(headers=headers, expiration=str(self.expiry * 1000))

    def take(self, channel, method, properties, body):
        self.amqp.basic_ack(method.delivery_tag)
        if properties.headers and "asgi_channel" in properties.headers:
            channel += properties.headers["asgi_channel"]
        return channel, self.unpack(body)

    def leave_marker(self, group, channel):
        name = MARKER % (group, channel)
        lifetime = self.group_expiry * 1000
        self.amqp.queue_declare(queue=name, arguments={
            "x-dead-letter-exchange": DEAD_LETTERS,
            "x-max-length": 1,
            "x-message-ttl": lifetime,
            "x-expires": lifetime + 25,
        })
        self.publish("", name, self.pack({"group": group, "channel": channel}))

    def discard_with(self, amqp_channel, group, channel):
        if "!" in channel:
            amqp_channel.queue_unbind(queue=channel, exchange=group)
        else:
            amqp_channel.exchange_unbind(destination=channel, source=group)

    def pack(self, message):
        body = msgpack.packb(message, use_bin_type=True)
        return self.fernet.encrypt(body) if self.fernet else body

    def unpack(self, body):
        if self.fernet:
            body = self.fernet.decrypt(body, self.expiry + 10)
        return msgpack.unpackb(body, encoding="utf8")


class Undertaker(threading.Thread):
    """Consumes dead letters, with a connection of its own."""

    def __init__(self, layer):
        super().__init__(daemon=True)
        self.layer = layer
        self.ready = threading.Event()

    def run(self):
        connection = pika.BlockingConnection(self.layer.parameters)
        amqp_channel = connection.channel()
        amqp_channel.exchange_declare(exchange=DEAD_LETTERS, exchange_type="fanout")
        amqp_channel.queue_declare(queue=DEAD_LETTERS)
        amqp_channel.queue_bind(queue=DEAD_LETTERS, exchange=DEAD_LETTERS)
        amqp_channel.basic_consume(self.bury, queue=DEAD_LETTERS)
        self.ready.set()
        amqp_channel.start_consuming()

    def bury(self, amqp_channel, method, properties, body):
        amqp_channel.basic_ack(method.delivery_tag)
        death = properties.headers["x-death"][0]
        queue, reason = death["queue"], death["reason"]
        is_marker = queue.startswith("expire.bind.")
        if reason == "expired" and is_marker:
            marker = self.layer.unpack(body)
            self.layer.discard_with(amqp_channel, marker["group"], marker["channel"])
        elif reason == "expired" and "!" in queue:
            amqp_channel.queue_delete(queue=queue + properties.headers["asgi_channel"])
        elif reason == "expired":
            amqp_channel.exchange_delete(exchange=queue)
        elif reason == "maxlen" and "!" in queue:
            amqp_channel.basic_publish(exchange="", routing_key=queue_of(queue), body=body,
                                       properties=self.layer.properties(queue))


def make_fernet(keys):
    if not keys:
        return None
    from cryptography.fernet import Fernet, MultiFernet
    digests = [hashlib.sha256(key.encode("utf8")).digest() for key in keys]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
