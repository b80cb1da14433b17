"""The protocol of a node in virtual time, for the scripts beside this one. Standard library only.

A script listens on the port that is its only argument. One connection comes, with lines of text:

    INIT <id> {"seed": 42, "node_id": "<id>", "config": {...}}    answered with    READY
    ADVANCE <until_us>                                            answered with    DONE
    [events that arrived]                                                          [events to send]
    SHUTDOWN                                                      no answer: the script ends

An event is {"time_us", "type", "src", "dst", "payload", "size_bytes"}. One to send needs "time_us" (in this step or later)
and "type"; without "dst" it goes to whoever subscribes to the node's topic. The same seed must give the same answers: no
clock, no random numbers but those of `random_of`, no order of sets.
"""

import json
import random
import socket
import sys


def serve(make_node):
    """Answers orders until SHUTDOWN; `make_node(id, settings)` gives an object with `advance(until_us, heard)`."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
        connection, _ = listener.accept()
    with connection, connection.makefile("rw", encoding="utf-8", newline="\n") as lines:
        node = None
        for line in lines:
            order, _, rest = line.strip().partition(" ")
            if order == "INIT":
                node_id, _, settings = rest.partition(" ")
                node = make_node(node_id, json.loads(settings))
                lines.write("READY\n")
            elif order == "ADVANCE":
                spoken = node.advance(int(rest), json.loads(next(lines)))
                lines.write("DONE\n" + json.dumps(spoken) + "\n")
            elif order == "SHUTDOWN":
                return
            else:
                raise ValueError(f"unknown order: {order}")
            lines.flush()


def random_of(node_id, settings):
    """Random numbers that depend on the node and the scenario's seed only."""
    return random.Random(f"{node_id} {settings['seed']}")


def micros(text, default):
    """From `250ms`, `10s`, `5m` or `2h` to microseconds."""
    if text is None:
        return default
    for unit, factor in (("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000)):
        number = text.removesuffix(unit)
        if number.isdigit():
            return int(number) * factor
    raise ValueError(f"{text} is not a length of time")
