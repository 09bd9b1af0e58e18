"""The hub's network gets out of the way of the host's others."""

from ipaddress import IPv4Network

import pytest

from ansible.module_utils import lab_subnet

HOME = "/srv/lab"
FIRST, SECOND = list(lab_subnet.candidates(HOME))[:2]
# As the kernel of a little-endian host prints it: a default route, a VPN's half of the Internet, a LAN, a bridge.
TABLE = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
tun0	00000080	01020A0A	0003	0	0	0	00000080	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
"""


def networks(*subnets: str) -> list[IPv4Network]:
    return [IPv4Network(subnet) for subnet in subnets]


def test_labs_begin_at_different_candidates_and_may_have_all():
    assert lab_subnet.choose(HOME, {}, []) == FIRST
    assert next(lab_subnet.candidates("/srv/other")) != FIRST
    assert len(set(lab_subnet.candidates(HOME))) == 512


def test_candidates_are_private_and_in_no_pool_of_the_engine():
    pools = networks("172.17.0.0/16", "172.18.0.0/15", "172.20.0.0/14", "172.24.0.0/13", "192.168.0.0/16")
    for prefix in lab_subnet.candidates(HOME):
        network = lab_subnet.network_of(prefix)
        assert network.is_private
        assert not any(map(network.overlaps, pools))
        assert lab_subnet.prefix_of(network) == prefix


@pytest.mark.parametrize("taken", [f"{FIRST}.0/24", f"{FIRST}.128/25"])
def test_what_a_network_or_a_route_takes_is_left_alone(taken):
    assert lab_subnet.choose(HOME, {"shop_default": networks(taken)}, []) == SECOND
    assert lab_subnet.choose(HOME, {}, networks(taken)) == SECOND


def test_a_route_to_a_whole_range_leaves_the_other_range():
    assert lab_subnet.choose(HOME, {}, networks("172.16.0.0/12")).startswith("10.231.")


def test_where_routes_cover_all_private_addresses_the_narrower_ones_are_left_alone():
    everything = networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    assert lab_subnet.choose(HOME, {}, everything) == FIRST
    assert lab_subnet.choose(HOME, {}, [*everything, *networks(f"{FIRST}.0/24")]) == SECOND


def test_ways_out_are_no_networks(tmp_path):
    table = tmp_path / "route"
    table.write_text(TABLE)
    assert lab_subnet.routed(str(table)) == networks("192.0.2.0/24", "172.17.0.0/16")


def test_an_overlap_is_named():
    engine = {"bridge": networks("172.17.0.0/16"), "shop_default": networks("10.1.0.0/16", f"{FIRST}.0/26")}
    assert lab_subnet.overlapping(FIRST, engine) == [("shop_default", IPv4Network(f"{FIRST}.0/26"))]
    assert lab_subnet.overlapping(SECOND, engine) == []
