"""Which link an association's settings ask for."""

from edge.dlms import hdlc
from edge.dlms.hdlc_link import HdlcLink
from edge.dlms.hdlc_parameters import DEFAULT_INFO_BYTES, LinkParameters
from edge.dlms.link import Link, WrapperLink
from edge.dlms.settings import AssociationSettings


def link_for(settings: AssociationSettings) -> Link:
    """Make the link, not yet open."""
    if settings.framing == "wrapper":
        return WrapperLink(
            client_sap=settings.client_sap, server_logical=settings.server_logical, limit_bytes=settings.max_pdu)
    propose = settings.snrm_parameters
    if propose is None:
        propose = settings.max_info_bytes != DEFAULT_INFO_BYTES
    return HdlcLink(
        client=hdlc.encode_address(settings.client_sap),
        server=hdlc.encode_address(settings.server_logical, settings.server_physical, settings.address_bytes),
        proposal=LinkParameters(settings.max_info_bytes, settings.max_info_bytes) if propose else None,
        repeat_s=settings.link_repeat_s, repeats=settings.link_repeats)
