"""What every fleet has: alarm rules, the rule chain, the dashboards (files beside this one -> Templates)."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from cloud.alarms import Alarm, AlarmFile, alarms_of
from cloud.errors import CloudError

Json = dict[str, Any]

HERE = Path(__file__).parent
RULE_CHAIN = "HaLow"
DASHBOARD_OF = {"gateway": "HaLow gateway", "meter": "HaLow meter"}  # what a device's details open


@dataclass(frozen=True, slots=True)
class Templates:
    """Rule chains and dashboards by name, alarm rules for gateways and meters."""

    alarms: tuple[Alarm, ...]
    rule_chains: Mapping[str, Json]
    dashboards: Mapping[str, Json]
    rule_chain: str = RULE_CHAIN

    @property
    def dashboard_of(self) -> Mapping[str, str]:
        """Return the dashboard of a gateway's and of a meter's details."""
        return DASHBOARD_OF

    def alarms_of_gateways(self) -> list[Json]:
        """Return the gateways' rules, as a device profile has them."""
        return alarms_of(self.alarms, "gateway", {})

    def alarms_of_meters(self, limits: Mapping[str, float]) -> list[Json]:
        """Return the meters' rules; `limits` are those of a meter type, by name."""
        return alarms_of(self.alarms, "meter", limits)


def load(folder: Path = HERE) -> Templates:
    """Read the files. Raises CloudError, with the file's name."""
    chains = [_json(path) for path in sorted((folder / "rulechains").glob("*.json"))]
    boards = [_json(path) for path in sorted((folder / "dashboards").glob("*.json"))]
    return Templates(
        load_alarms(folder),
        {chain["ruleChain"]["name"]: chain["metadata"] for chain in chains},
        {board["title"]: board["configuration"] for board in boards},
    )


def load_alarms(folder: Path = HERE) -> tuple[Alarm, ...]:
    """Read the alarm rules. Raises CloudError."""
    path = folder / "profiles/alarms.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), AlarmFile).alarm
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CloudError(f"{path}: {error}") from None


def _json(path: Path) -> Json:
    try:
        found: Json = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CloudError(f"{path}: {error}") from None
    return found


def normal(value: object) -> str:
    """Return JSON as it stands in the repository: sorted keys, two spaces, a line end; so that a difference is one."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
