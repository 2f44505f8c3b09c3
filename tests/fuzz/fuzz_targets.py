"""The table of targets: what is fuzzed, from which seeds, how often in a whole run (`make fuzz`)."""

from fuzz_ciphered import ciphered_apdu, genuine_apdus, sealed_answer, sealed_answers
from fuzz_engine import Target
from fuzz_exchanges import (
    access,
    access_answers,
    action,
    action_answers,
    action_list,
    block_answers,
    general_blocks,
    get,
    get_answers,
    get_list,
    set_answers,
    set_list,
    set_one,
    with_all,
)
from fuzz_framing import hdlc_deframer, hdlc_link, hdlc_streams, link_conversations, wrapper_deframer, wrapper_streams
from fuzz_meters import (
    clocks,
    lists_of_objects,
    meter_clock,
    told_objects,
    value_in_words,
)
from fuzz_opening import (
    aare,
    aares,
    digest_opening,
    digest_openings,
    hdlc_opening,
    hdlc_openings,
    sealed_opening,
    sealed_openings,
)
from fuzz_profile import load_profile, load_profiles_seen
from fuzz_push import desk_pieces, push, push_datagrams, push_desk, push_pieces, push_stream, pushes
from fuzz_values import axdr_value, clock_time, exact_number, poll_record, polls, times, values

TARGETS: dict[str, Target] = {target.name: target for target in (
    # octets into frames
    Target(hdlc_deframer, hdlc_streams, 100_000),
    Target(wrapper_deframer, wrapper_streams, 80_000),
    Target(hdlc_link, link_conversations, 100_000),
    # values
    Target(axdr_value, values, 160_000),
    Target(clock_time, times, 60_000),
    Target(exact_number, values, 80_000),
    # an association's opening, and each answer that the client parses
    Target(aare, aares, 100_000),
    Target(hdlc_opening, hdlc_openings, 60_000),
    Target(digest_opening, digest_openings, 50_000),
    Target(sealed_opening, sealed_openings, 50_000),
    Target(get, with_all(get_answers), 100_000),
    Target(get_list, with_all(get_answers), 100_000),
    Target(set_one, with_all(set_answers), 50_000),
    Target(set_list, with_all(set_answers), 30_000),
    Target(action, with_all(action_answers), 50_000),
    Target(action_list, with_all(action_answers), 50_000),
    Target(access, with_all(access_answers), 50_000),
    Target(general_blocks, with_all(block_answers), 70_000),
    Target(ciphered_apdu, genuine_apdus, 80_000),
    Target(sealed_answer, sealed_answers, 80_000),
    # what comes unasked
    Target(push, pushes, 60_000),
    Target(push_stream, push_pieces, 80_000),
    Target(push_datagrams, push_pieces, 60_000),
    Target(push_desk, desk_pieces, 60_000),
    # what meters say about themselves, on its way into records
    Target(poll_record, polls, 60_000),
    Target(load_profile, load_profiles_seen, 80_000),
    Target(meter_clock, clocks, 40_000),
    Target(told_objects, lists_of_objects, 30_000),
    Target(value_in_words, lists_of_objects, 30_000),
)}
WHOLE_RUN = 2_000_000
