"""A stand-in for hostapd or wpa_supplicant: its control socket, as hostap's ctrl_iface.c answers."""

import asyncio
import contextlib
import socket
from pathlib import Path

HOSTAPD_STATUS = (
    "state=ENABLED\nphy=phy0\nfreq=5610\nnum_sta_non_erp=0\nchannel=122\nieee80211n=0\ns1g_freq=918000\ns1g_bw=4\n"
    "s1g_prim_chwidth=1\ns1g_prim_1mhz_chan_index=3\nbss[0]=wlan0\nbssid[0]=0c:bf:74:00:00:01\nssid[0]=meters\nnum_sta[0]=2\n")
SUPPLICANT_STATUS = (
    "bssid=0c:bf:74:00:00:01\nfreq=5610\nssid=meters\nid=0\nmode=station\npairwise_cipher=CCMP\nkey_mgmt=SAE\n"
    "wpa_state=COMPLETED\naddress=02:00:00:00:00:02\n")
SIGNAL = "RSSI=-71\nLINKSPEED=6\nNOISE=-102\nFREQUENCY=5610\nWIDTH=40 MHz\nAVG_RSSI=-70\n"
STATIONS = {
    "02:00:00:00:0a:01": "flags=[AUTH][ASSOC][AUTHORIZED][MFP]\naid=1\nrx_packets=51\ninactive_msec=1200\nsignal=-66\nconnected_time=31\n",
    "02:00:00:00:0a:02": "flags=[AUTH][ASSOC][AUTHORIZED][MFP]\naid=2\nrx_packets=9\ninactive_msec=80\nsignal=-85\nconnected_time=12\n",
}


class FakeDaemon:
    """Answers on one socket until `stop`; `answers` may be changed at any time, None is silence."""

    def __init__(self, path: Path, *, station: bool = False) -> None:
        self.path = path
        self.answers: dict[str, str | None] = {
            "PING": "PONG\n", "ATTACH": "OK\n", "STATUS": SUPPLICANT_STATUS if station else HOSTAPD_STATUS,
            "SIGNAL_POLL": SIGNAL if station else "UNKNOWN COMMAND\n"}
        macs = list(STATIONS)
        self.answers["STA-FIRST"] = f"{macs[0]}\n{STATIONS[macs[0]]}"
        for mac, following in zip(macs, [*macs[1:], ""], strict=True):
            self.answers[f"STA-NEXT {mac}"] = f"{following}\n{STATIONS[following]}" if following else ""
        self.asked: list[str] = []
        self.attached: list[object] = []
        self.heard = asyncio.Event()
        self._sock: socket.socket | None = None

    def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind(str(self.path))
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._ready)

    def stop(self, *, remove: bool = True) -> None:
        """As after kill -9 with `remove` False: the file stays."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        self.attached.clear()
        if remove:
            self.path.unlink(missing_ok=True)

    def tell(self, text: str) -> None:
        assert self._sock is not None
        for address in self.attached:
            self._sock.sendto(f"<3>{text}".encode(), address)

    async def until_asked(self, command: str, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.asked.count(command) < times:
                self.heard.clear()
                await self.heard.wait()

    def _ready(self) -> None:
        assert self._sock is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                data, address = self._sock.recvfrom(4096)
                command = data.decode()
                self.asked.append(command)
                if command == "ATTACH":
                    self.attached.append(address)
                answer = self.answers.get(command, "UNKNOWN COMMAND\n")
                if answer is not None:
                    self._sock.sendto(answer.encode(), address)
                self.heard.set()
