"""What cloud/README.md promises is there: commands, words of the script, the fleet file, every alarm."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cloud import templates
from cloud.fleet import COLUMNS, Fleet, from_toml
from cloud.provision.cli import root

ROOT = Path(__file__).parents[2]
README = (ROOT / "cloud/README.md").read_text()


def test_the_fleet_file_of_the_readme_is_one():
    fleet = from_toml(re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1])
    assert isinstance(fleet, Fleet), fleet
    assert [one.name for one in fleet.meter] == ["meter-17"]
    assert "`" + ",".join(COLUMNS) + "`" in README


@pytest.mark.parametrize("command", sorted(set(re.findall(r"halow-cloud ([a-z]+)", README))))
def test_its_commands_exist(command):
    done = CliRunner().invoke(root, [command, "--help"])
    assert done.exit_code == 0, done.output
    for option in set(re.findall(rf"halow-cloud {command} [^\n`]*?(--[a-z-]+)", README)):
        assert option in done.output, option


def test_all_commands_stand_in_it():
    assert {f"halow-cloud {name}" for name in root.commands} <= set(re.findall(r"halow-cloud [a-z]+", README))


def test_words_of_the_stack_exist():
    script = (ROOT / "cloud/stack/stack").read_text()
    for word in set(re.findall(r"cloud/stack/stack ([a-z]+)", README)):
        assert re.search(rf"^    {word}\)", script, re.MULTILINE), word


def test_there_are_ten_steps():
    assert re.findall(r"^(\d+)\. \*\*", README, re.MULTILINE) == [str(number) for number in range(1, 11)]


def test_every_alarm_stands_in_the_table():
    told = README[README.index("## Alarms"):].replace("L1 (L2, L3)", "L1")
    for alarm in templates.load_alarms():
        if not re.fullmatch(r"Voltage L[23] out of range", alarm.type):
            assert alarm.type in told, alarm.type
