"""What a country allows: bands, widths, power, duty cycle, with the clause (data in regions.toml).

The gateway shows and warns; which country a radio runs under is the driver's setting, and right or wrong is the
integrator's to know.
"""

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

NO_LIMIT_PCT = 100.0


@dataclass(frozen=True, slots=True)
class Region:
    """One plan. `duty_*_pct` are shares of an hour that one transmitter may use; `confirm`: not settled, ask first."""

    name: str
    bands_mhz: tuple[tuple[float, float], ...]
    width_max_mhz: int
    duty_ap_pct: float
    duty_sta_pct: float
    gap_ms: int
    clause: str
    eirp_dbm: float | None = None
    confirm: bool = False

    def duty_pct(self, *, access_point: bool) -> float:
        """Return what a transmitter of this kind may use."""
        return self.duty_ap_pct if access_point else self.duty_sta_pct

    def same_rules(self, other: "Region") -> bool:
        """Tell whether two countries follow one plan."""
        return replace(self, name=other.name) == other

    def summary(self) -> str:
        """Return duty cycle, rest between packets, widest channel and power in one line, with the clause."""
        duty = "no duty cycle limit" if self.duty_ap_pct >= NO_LIMIT_PCT else (
            f"duty cycle {self.duty_ap_pct:g} % (access point), {self.duty_sta_pct:g} % (station)")
        gap = f", {self.gap_ms} ms between packets" if self.gap_ms else ""
        power = "" if self.eirp_dbm is None else f", {self.eirp_dbm:g} dBm EIRP"
        return f"{duty}{gap}, up to {self.width_max_mhz} MHz wide{power}; {self.clause}"

    def warnings(self, *, khz: int | None, width_mhz: int | None) -> tuple[str, ...]:
        """Return what is wrong with a channel here, one line each; what is not known is not judged."""
        found = []
        if khz is not None:
            half_mhz = (width_mhz or 0) / 2
            low, high = khz / 1000 - half_mhz, khz / 1000 + half_mhz
            if not any(bottom <= low and high <= top for bottom, top in self.bands_mhz):
                bands = ", ".join(f"{bottom:g} to {top:g}" for bottom, top in self.bands_mhz)
                found.append(f"{khz / 1000:.1f} MHz is outside of what {self.name} allows ({bands} MHz; {self.clause})")
        if width_mhz is not None and width_mhz > self.width_max_mhz:
            found.append(f"{width_mhz} MHz is wider than the {self.width_max_mhz} MHz that {self.name} allows "
                         f"({self.clause})")
        if self.confirm:
            found.append(f"{self.name}: no vendor's table has it; have band and power confirmed ({self.clause})")
        return tuple(found)


@cache
def regions() -> dict[str, Region]:
    """Return the plan of every known country code."""
    data = tomllib.loads(files("halow").joinpath("regions.toml").read_text())
    found = {}
    for table in data.values():
        countries = table.pop("countries")
        bands = tuple((low, high) for low, high in table.pop("bands_mhz"))
        for country in countries:
            found[country] = Region(country, bands, **table)
    return found


def region_of(country: str) -> Region | None:
    """Return the plan of a country, None where it is in no table."""
    return regions().get(country.strip().upper())
