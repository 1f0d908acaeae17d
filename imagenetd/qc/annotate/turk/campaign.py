"""What every command about Mechanical Turk works on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from imagenetd.config.page import MturkConfig
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.turk.service import Service
from imagenetd.qc.annotate.turk.state import TurkState


@dataclass
class Campaign:
    """A votes folder, a service of Amazon's, and what has happened there."""

    room: Room
    options: MturkConfig
    service: Service
    state: TurkState
    say: Callable[[str], None]
    clock: Callable[[], float] = time.time
