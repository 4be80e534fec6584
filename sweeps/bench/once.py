"""What watching costs once: opening, the first steps with their first looks, closing; in a fresh process.

`python -m sweeps.bench.once NET SETTING DEVICE` prints seconds.
"""

import json
import sys
import time

from sweeps.bench import ours
from sweeps.bench.nets import NETS
from sweeps.bench.ours import SCHEDULES
from sweeps.bench.timing import BARE, FIRST, race


def main(name: str, setting: str, device: str) -> None:
    net = next(net for net in NETS if net.name == name)
    begun = time.perf_counter()
    lanes = race(
        lambda: net.training(device),
        lambda step: net.batch_of(step, device),
        [ours.watcher(setting, SCHEDULES[setting])],
        FIRST,
    )
    lane, bare = lanes[setting], lanes[BARE]
    first = sum(lane.seconds) - sum(bare.seconds)
    told = {"opening": lane.opening, "first": first, "closing": lane.closing}
    print(json.dumps({**told, "seconds": time.perf_counter() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
