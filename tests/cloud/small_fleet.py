"""A fleet file with one of everything, and the templates for it, whole and small."""

import dataclasses

from cloud import templates

FLEET = """
[fleet]
name = "north"
[[customer]]
title = "Utility North"
[[region]]
name = "North"
[[site]]
name = "Substation 12"
region = "North"
customer = "Utility North"
latitude = 47.1
longitude = 9.5
[[site]]
name = "Cabinet 3"
region = "North"
[[meter_type]]
name = "generic-three-phase"
[[meter_type]]
name = "microstar"
nominal_voltage_v = 127
[[gateway]]
name = "gw-1"
site = "Substation 12"
[[gateway]]
name = "gw-2"
site = "Cabinet 3"
certificate = "gw-2.pem"
[[meter]]
name = "meter-17"
gateway = "gw-1"
type = "microstar"
[[meter]]
name = "meter-18"
gateway = "gw-2"
type = "generic-three-phase"
"""
PEM = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQQ==\n-----END CERTIFICATE-----\n"


WHOLE = templates.load()
# Three dashboards without their widgets: the same paths in a fraction of the bytes. One test takes the whole.
SMALL = dataclasses.replace(WHOLE, dashboards={
    title: {**WHOLE.dashboards[title], "widgets": {}} for title in ("HaLow gateway", "HaLow meter", "HaLow data completeness")})
