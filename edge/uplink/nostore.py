"""What gmqtt gets as its message store (pure): the ring keeps, gmqtt forgets."""


class NoStore:
    """Keeps nothing, and is told the packet id inside `publish()`.

    It has no `__len__` on purpose: an empty store that is falsy is silently replaced by gmqtt's own.
    """

    is_empty = True

    def __init__(self) -> None:
        """Nothing was published."""
        self.last_packet_id = 0

    def push_message(self, packet_id: int, _package: bytes) -> None:
        """Note the packet id of what is being published."""
        self.last_packet_id = packet_id

    def remove_message_by_mid(self, packet_id: int) -> None:
        """Nothing is kept, so nothing is removed."""

    async def wait_empty(self) -> None:
        """Return at once: always empty."""

    def clear(self) -> None:
        """Nothing to drop."""

    def get_all(self) -> list[tuple[int, bytes]]:
        """Return what is to be sent again: nothing."""
        return []
