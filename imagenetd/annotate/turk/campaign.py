"""What every command about Mechanical Turk works on."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from imagenetd.annotate.room import Room
from imagenetd.annotate.turk.service import Service
from imagenetd.annotate.turk.state import TurkState
from imagenetd.annotate_config import MturkConfig


@dataclass
class Campaign:
    """A votes folder, a service of Amazon's, and what has happened there."""

    room: Room
    options: MturkConfig
    service: Service
    state: TurkState
    say: Callable[[str], None]
    clock: Callable[[], float] = time.time
