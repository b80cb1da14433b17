"""A temperature sensor in virtual time: a walk around `mean`, one reading every `every`."""

from node import micros, random_of, serve


class Sensor:
    def __init__(self, node_id, settings):
        config = settings["config"]
        self.id = node_id
        self.random = random_of(node_id, settings)
        self.every = micros(config.get("every"), 1_000_000)
        self.next = self.random.randrange(self.every)
        self.mean = float(config.get("mean", 20.0))
        self.value = self.mean
        self.count = 0

    def advance(self, until, heard):
        spoken = []
        while self.next < until:
            self.count += 1
            self.value += self.random.uniform(-0.5, 0.5) + (self.mean - self.value) / 20
            reading = {"id": self.id, "seq": self.count, "sent_us": self.next, "value": round(self.value, 2)}
            spoken.append({"time_us": self.next, "type": "TRANSMIT", "src": self.id, "dst": None, "payload": reading})
            self.next += self.every
        return spoken


if __name__ == "__main__":
    serve(Sensor)
