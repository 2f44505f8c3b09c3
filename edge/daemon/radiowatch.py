"""The worker that watches the radio of the settings in force."""

from collections.abc import Callable

import msgspec

from edge.config import RadioSettings
from edge.daemon.renewable import Renewable
from edge.health.supervise import Worker
from halow.look import radio_of
from halow.monitor import Callback, Monitor, MonitorSettings


class RadioWatch(Renewable):
    """Renewed by other settings it goes on with what is known of the peers; another interval opens no other radio."""

    def __init__(self, in_force: Callable[[], RadioSettings], heard: Callback) -> None:
        """`heard` takes each judgement; it runs in the loop and must not block."""
        super().__init__(self._made)
        self._in_force, self._heard = in_force, heard
        self._watched: RadioSettings | None = None
        self._monitor: Monitor | None = None

    def _made(self) -> Worker:
        before, radio = self._watched, self._in_force()
        settings = MonitorSettings(interval_s=radio.interval_s, width_mhz=radio.width_mhz)
        self._watched = radio
        if self._monitor is None or before is None:
            self._monitor = Monitor(radio_of(radio), self._heard, settings)
        elif msgspec.structs.replace(before, interval_s=radio.interval_s,
                                     record_interval_s=radio.record_interval_s) == radio:
            self._monitor.use(settings)
        else:
            self._monitor.use(settings, radio_of(radio))
        return self._monitor.run
