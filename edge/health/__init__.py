"""How the gateway is: promises and supervision of its workers, systemd, figures of process, flash and links."""
