"""Firmware and software packages from ThingsBoard: offered, downloaded in chunks, checked, handed to an updater."""
