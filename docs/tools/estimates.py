"""What a training on all of COCO would take, on paper: from what the benchmarks measured, and the rates named here."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from docs.tools.result_tables import to_table

IMAGES, INSTANCES, IMAGE_BYTES = 118_287, 860_001, 163_000
"""Of train2017: an epoch takes every instance once. Bytes of a JPEG, of the 19.3 GB of all."""
PIXELS = (480 * 640) / (375 * 500)
"""Of an image of COCO, over one of those that were measured: operations grow alike."""
FEATURE_BYTES = 2 * 512 * (60 * 80 + 30 * 40)
"""Of an image of 480x640 in the cache of `interactive`: two taps of 512 channels in float16."""
TRUNK = 4 * 14_714_688
"""Bytes of VGG-16's convolutions, whose gradients a frozen trunk does not send."""

BATCH = 8
"""Episodes of a device in a step."""
HOST = 8
"""Devices of a host."""
CORES = 96
"""Of a host."""
RATE = 400e12
"""Operations a second that a device reaches: 40 % of the 989e12 of an H100 in bfloat16."""
LINK, NETWORK, DISK = 300e9, 50e9, 5e9
"""Bytes a second between the devices of a host, between hosts, and from the disk of a host."""


class Step(NamedTuple):
    """One step, in seconds of each part. Reading and loading go on beside the rest; sending does not."""

    compute: float
    network: float
    loader: float
    disk: float

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return max(self.compute + self.network, self.loader, self.disk)

    @property
    def limit(self) -> str:
        """What takes most of it."""
        if self.seconds > self.compute + self.network:
            return "the loader" if self.loader >= self.disk else "the disk"
        return "the devices" if self.compute >= self.network else "the network"


def estimate(devices: int, operations: float, gradients: float, episode_bytes: float, loaded: float) -> Step:
    """A step over so many devices.

    Args:
        devices: in hosts of `HOST`.
        operations: of an episode.
        gradients: bytes that a step sums over all devices.
        episode_bytes: that are read for an episode.
        loaded: episodes a second that one core prepares.
    """
    inside = min(devices, HOST)
    hosts = devices // inside
    network = ring(inside) * gradients / LINK + ring(hosts) * gradients / NETWORK
    episodes = BATCH * inside
    return Step(BATCH * operations / RATE, network, episodes / (loaded * CORES), episodes * episode_bytes / DISK)


def ring(members: int) -> float:
    """How many times its data each member of an all-reduce sends."""
    return 2 * (members - 1) / members


def coco(measured: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """An epoch on 1, 8 and 64 devices, by what learns."""
    table = measured["train"]["tables"][0]["rows"]
    steps = {row["name"].partition(",")[0]: row["operations"] / row["batch"] for row in table if "operations" in row}
    whole = measured["scale"]["rows"][-1]["bytes"]
    cores = measured["input"]["cores"]
    loaded = {key: row["loader"] / cores for key, row in training["rows"].items()}
    ways = {
        "full": (steps["full"] * PIXELS, whole, IMAGE_BYTES, loaded["full"]),
        "frozen trunk": (steps["frozen"] * PIXELS, whole - TRUNK, IMAGE_BYTES, loaded["full"]),
        "cached features": (steps["cached"] * PIXELS, whole - TRUNK, FEATURE_BYTES, loaded["cached features"]),
    }
    rows = []
    for name, way in ways.items():
        for devices in (1, HOST, 8 * HOST):
            step = estimate(devices, *way)
            count = INSTANCES / (BATCH * devices)
            hosts = max(1, devices // HOST)
            parts = [f"{1e3 * part:.1f}" for part in step]
            sent, read = count * ring(devices) * way[1], INSTANCES / hosts * way[2]
            minutes = f"{count * step.seconds / 60:.1f}"
            rows.append([name, str(devices), minutes, *parts, f"{sent / 1e9:,.0f}", f"{read / 1e9:,.0f}", step.limit])
    head = ["what learns", "devices", "minutes", "ms a step: devices", "network", "loader", "disk"]
    return to_table([*head, "GB sent by each device", "GB read by each host", "limited by"], rows)
