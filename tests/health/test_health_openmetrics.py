"""The text for Prometheus, read by prometheus_client's own parsers, OpenMetrics and the older form."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from edge.health.openmetrics import Family, render, wants_openmetrics

READERS = {True: read_openmetrics, False: read_text}


def families() -> list[Family]:
    lost = Family("halow_ring_lost_records", "counter", 'Lost \\ "records"\nof all time.')
    lost.add(7, stream="alarm")
    lost.add(None, stream="billing")
    age = Family("halow_gateway_uptime_seconds", "gauge", "Time.")
    age.add(12.345)
    built = Family("halow_gateway", "info", "Build.")
    built.add(1, version='0.1\n"x"\\')
    late = Family("halow_meter_poll_lateness_seconds", "histogram", "Late.")
    late.add_histogram((0.01, 1, 60.0), (3, 2, 0, 1), 99.25, meter="m 1")
    return [lost, age, built, late, Family("halow_nothing", "gauge", "Not known.")]


@pytest.mark.parametrize("openmetrics", [True, False])
def test_its_own_parser_reads_the_same_back(openmetrics: bool) -> None:
    text = render(families(), openmetrics=openmetrics)
    assert text.endswith("# EOF\n" if openmetrics else "\n")
    found = {family.name: family for family in READERS[openmetrics](text)}
    lost, late = found["halow_ring_lost_records"], found["halow_meter_poll_lateness_seconds"]
    assert (lost.type, lost.documentation) == ("counter", 'Lost \\ "records"\nof all time.')
    assert [(sample.name, sample.labels, sample.value) for sample in lost.samples] == [("halow_ring_lost_records_total", {"stream": "alarm"}, 7)]
    built = found["halow_gateway" if openmetrics else "halow_gateway_info"]
    assert built.samples[0].labels == {"version": '0.1\n"x"\\'}
    assert built.type == ("info" if openmetrics else "gauge")
    assert found["halow_gateway_uptime_seconds"].samples[0].value == 12.345
    assert found["halow_gateway_uptime_seconds"].unit == ("seconds" if openmetrics else "")
    assert late.type == "histogram"
    assert [(sample.labels.get("le"), sample.value) for sample in late.samples] == [
        ("0.01", 3), ("1.0", 5), ("60.0", 5), ("+Inf", 6), (None, 99.25), (None, 6)]
    assert "halow_nothing" not in found


@given(st.text(), st.floats(allow_nan=False) | st.integers())
def test_whatever_a_label_or_value_is_it_comes_back(label: str, value: float) -> None:
    family = Family("halow_x", "gauge", label)
    family.add(value, meter=label)
    # the parser splits lines as str.splitlines does, which the format does not
    odd = len(label.splitlines()) > 1 or label != label.strip()
    text = render([family], openmetrics=True)
    assert text.count("\n") == 4
    if not odd:
        (sample,) = next(iter(read_openmetrics(text))).samples
        assert sample.labels == {"meter": label}
        assert sample.value == value or math.isclose(sample.value, value)


@pytest.mark.parametrize(("accept", "openmetrics"), [
    ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
    ("application/openmetrics-text", True), ("text/plain;q=0.9, application/openmetrics-text;q=0.8", False),
    ("*/*", False), ("", False), ("application/openmetrics-text;q=0", False), ("application/openmetrics-text;q=no", False),
])
def test_the_form_is_chosen_by_the_accept_header(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) is openmetrics
