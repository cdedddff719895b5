from channels import Group
from channels.routing import route


def echo_connect(message):
    message.reply_channel.send({"accept": True})


def echo_receive(message):
    content = message.content
    reply = {key: content[key] for key in ("text", "bytes") if content.get(key) is not None}
    message.reply_channel.send(reply)


def chat_connect(message, room):
    message.reply_channel.send({"accept": True})
    Group("chat-" + room).add(message.reply_channel)
    Group("chat-" + room).send({"text": "joined"})


def chat_receive(message, room):
    Group("chat-" + room).send({"text": message.content["text"]})


def chat_disconnect(message, room):
    Group("chat-" + room).discard(message.reply_channel)
    Group("chat-" + room).send({"text": "left"})


def say_in_room(message):
    """For whoever sends to this channel from elsewhere."""
    Group("chat-" + message.content["room"]).send({"text": message.content["text"]})


ECHO = r"^/echo/$"
CHAT = r"^/chat/(?P<room>[a-z]+)/$"

routing = [
    route("websocket.connect", echo_connect, path=ECHO),
    route("websocket.receive", echo_receive, path=ECHO),
    route("websocket.connect", chat_connect, path=CHAT),
    route("websocket.receive", chat_receive, path=CHAT),
    route("websocket.disconnect", chat_disconnect, path=CHAT),
    route("room.say", say_in_room),
]
