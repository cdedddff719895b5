"""Channel layers of Python, driven by lines of JSON.

Each line of standard input is an object with `op`, `layer` (a name chosen by whoever writes it) and
the arguments of the operation; each line of standard output is `{"ok": result}` or
`{"error": class, "text": what it says}`. Values of messages are written with their types:
`{"t": "bytes", "v": "00ff"}`.
"""

import importlib
import json
import sys

LAYERS = {}


def from_typed(typed):
    kind, value = typed["t"], typed.get("v")
    if kind == "nil":
        return None
    if kind == "bool":
        return value
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    if kind == "str":
        return value
    if kind == "bytes":
        return bytes.fromhex(value)
    if kind == "list":
        return [from_typed(item) for item in value]
    if kind == "tuple":
        return tuple(from_typed(item) for item in value)
    if kind == "map":
        return {key: from_typed(item) for key, item in value}
    raise ValueError("no type %r" % kind)


def to_typed(value):
    if value is None:
        return {"t": "nil"}
    if isinstance(value, bool):
        return {"t": "bool", "v": value}
    if isinstance(value, int):
        return {"t": "int", "v": str(value)}
    if isinstance(value, float):
        return {"t": "float", "v": repr(value)}
    if isinstance(value, str):
        return {"t": "str", "v": value}
    if isinstance(value, bytes):
        return {"t": "bytes", "v": value.hex()}
    if isinstance(value, (list, tuple)):
        return {"t": "list", "v": [to_typed(item) for item in value]}
    if isinstance(value, dict):
        return {"t": "map", "v": [[key, to_typed(item)] for key, item in value.items()]}
    raise ValueError("no type for %r" % (value,))


def op_open(request):
    module, name = request["class"].rsplit(".", 1)
    layer_class = getattr(importlib.import_module(module), name)
    options = dict(request["options"])
    if "hosts" in options:
        options["hosts"] = [
            tuple(host) if isinstance(host, list) else host for host in options["hosts"]
        ]
    LAYERS[request["layer"]] = layer_class(**options)


def op_send(layer, request):
    layer.send(request["channel"], from_typed(request["message"]))


def op_receive(layer, request):
    channel, message = layer.receive(request["channels"], block=request["block"])
    return None if channel is None else [channel, to_typed(message)]


def op_new_channel(layer, request):
    return layer.new_channel(request["pattern"])


def op_group_add(layer, request):
    layer.group_add(request["group"], request["channel"])


def op_group_discard(layer, request):
    layer.group_discard(request["group"], request["channel"])


def op_group_channels(layer, request):
    return sorted(layer.group_channels(request["group"]))


def op_send_group(layer, request):
    layer.send_group(request["group"], from_typed(request["message"]))


def op_global_statistics(layer, request):
    return layer.global_statistics()


def op_channel_statistics(layer, request):
    return layer.channel_statistics(request["channel"])


def op_flush(layer, request):
    layer.flush()


def op_shard_of(layer, request):
    return layer.consistent_hash(request["name"])


def perform(request):
    if request["op"] == "open":
        return op_open(request)
    return globals()["op_" + request["op"]](LAYERS[request["layer"]], request)


def main():
    for line in sys.stdin:
        try:
            answer = {"ok": perform(json.loads(line))}
        except Exception as error:
            answer = {"error": type(error).__name__, "text": str(error)}
        print(json.dumps(answer), flush=True)


main()
