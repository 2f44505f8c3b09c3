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
from fuzz_push import push, pushes
from fuzz_values import axdr_value, clock_time, exact_number, poll_record, polls, times, values

TARGETS: dict[str, Target] = {target.name: target for target in (
    Target(hdlc_deframer, hdlc_streams, 140_000),
    Target(wrapper_deframer, wrapper_streams, 100_000),
    Target(hdlc_link, link_conversations, 120_000),
    Target(axdr_value, values, 140_000),
    Target(clock_time, times, 80_000),
    Target(exact_number, values, 100_000),
    Target(poll_record, polls, 80_000),
    Target(aare, aares, 120_000),
    Target(hdlc_opening, hdlc_openings, 80_000),
    Target(digest_opening, digest_openings, 60_000),
    Target(sealed_opening, sealed_openings, 60_000),
    Target(get, with_all(get_answers), 120_000),
    Target(get_list, with_all(get_answers), 120_000),
    Target(set_one, with_all(set_answers), 60_000),
    Target(set_list, with_all(set_answers), 40_000),
    Target(action, with_all(action_answers), 60_000),
    Target(action_list, with_all(action_answers), 60_000),
    Target(access, with_all(access_answers), 60_000),
    Target(general_blocks, with_all(block_answers), 80_000),
    Target(ciphered_apdu, genuine_apdus, 80_000),
    Target(sealed_answer, sealed_answers, 100_000),
    Target(push, pushes, 80_000),
    Target(load_profile, load_profiles_seen, 60_000),
)}
WHOLE_RUN = 2_000_000
