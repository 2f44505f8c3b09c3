"""What meters send by themselves: a listener for DLMS data-notifications and event-notifications."""
