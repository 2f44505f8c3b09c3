"""What an operator may ask for through ThingsBoard: calls, who may make them, what was done already."""
