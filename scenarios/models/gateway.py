"""A gateway in virtual time: sums up the readings of every window, and sends them on to whoever listens."""

from node import micros, serve


class Gateway:
    def __init__(self, node_id, settings):
        self.id = node_id
        self.every = micros(settings["config"].get("every"), 5_000_000)
        self.end = self.every
        self.windows = 0
        self.total = 0
        self.readings = []

    def advance(self, until, heard):
        spoken = []
        for event in sorted(heard, key=lambda event: event["time_us"]):
            spoken += self.close_before(event["time_us"] + 1)
            self.readings.append(event["payload"])
        return spoken + self.close_before(until)

    def close_before(self, time):
        spoken = []
        while self.end < time:
            spoken += self.close(self.end)
            self.end += self.every
        return spoken

    def close(self, time):
        if not self.readings:
            return []
        values = [reading["value"] for reading in self.readings]
        self.windows += 1
        self.total += len(values)
        window = {
            "gateway": self.id,
            "window": self.windows,
            "readings": len(values),
            "total": self.total,
            "outliers": 0,
            "mean": round(sum(values) / len(values), 4),
            "min": min(values),
            "max": max(values),
            "sensors": len({reading["id"] for reading in self.readings}),
        }
        self.readings = []
        return [{"time_us": time, "type": "AGGREGATE", "src": self.id, "dst": None, "payload": window}]


if __name__ == "__main__":
    serve(Gateway)
