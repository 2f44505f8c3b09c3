"""The local API and page: what a technician at the box and a script on the network see of the gateway."""
