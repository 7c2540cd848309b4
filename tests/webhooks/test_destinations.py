"""Which URLs and addresses webhooks may be sent to (rows W1 and W2)."""

import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings.webhooks import WebhookSettings
from app.webhooks.addresses import is_reachable
from app.webhooks.destinations import Destination, DestinationRules, SystemResolver, UrlFault
from tests.worlds.webhooks import LOCAL, FakeResolver

pytestmark = pytest.mark.unit

NAMES = {
    "example.com": ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"),
    "half-private.example.com": ("93.184.216.34", "10.0.0.7"),
    "localhost": ("127.0.0.1", "::1"),
    "intranet": ("192.168.1.4",),
}


def rules(settings: WebhookSettings | None = None) -> DestinationRules:
    return DestinationRules(settings or WebhookSettings(), FakeResolver(NAMES))


def judged(url: str, settings: WebhookSettings | None = None) -> UrlFault | Destination:
    """Return why a URL is refused by its text or its addresses, or where it leads."""
    judge = rules(settings)
    to = judge.destination(url)
    if isinstance(to, UrlFault):
        return to
    addresses = judge.addresses(to, within=1)
    return addresses if isinstance(addresses, UrlFault) else to


class TestRefusedUrls:
    @pytest.mark.parametrize(
        ("url", "fault"),
        [
            ("", UrlFault.SYNTAX),
            ("example.com/hook", UrlFault.SCHEME),
            ("http://example.com/", UrlFault.SCHEME),
            ("ftp://example.com/", UrlFault.SCHEME),
            ("file:///etc/passwd", UrlFault.SCHEME),
            ("gopher://example.com/", UrlFault.SCHEME),
            ("javascript:alert(1)", UrlFault.SCHEME),
            ("https:example.com", UrlFault.SYNTAX),
            ("https:/example.com", UrlFault.SYNTAX),
            ("https:///example.com", UrlFault.HOST),
            ("https://", UrlFault.HOST),
            ("https://[::1", UrlFault.SYNTAX),
            ("https://example.com:99999/", UrlFault.SYNTAX),
            ("https://example.com:x/", UrlFault.SYNTAX),
            (" https://example.com/", UrlFault.SYNTAX),
            ("https://exa\tmple.com/", UrlFault.SYNTAX),
            ("https://example.com/\r\nX: y", UrlFault.SYNTAX),
            ("https://example.com\\@10.0.0.1/", UrlFault.SYNTAX),
            ("https://b\u00fccher.example/", UrlFault.SYNTAX),
            ("https://ex\u2024ample.com/", UrlFault.SYNTAX),
            ("https://user@example.com/", UrlFault.CREDENTIALS),
            ("https://user:password@example.com/", UrlFault.CREDENTIALS),
            ("https://example.com@10.0.0.1/", UrlFault.CREDENTIALS),
            ("https://example.com/#part", UrlFault.FRAGMENT),
            ("https://example.com#@10.0.0.1/", UrlFault.FRAGMENT),
            ("https://localhost./", UrlFault.HOST),
            ("https://example.com./", UrlFault.HOST),
            ("https://exam ple.com/", UrlFault.SYNTAX),
            ("https://-example.com/", UrlFault.HOST),
            ("https://example..com/", UrlFault.HOST),
            ("https://%31%32%37.0.0.1/", UrlFault.HOST),
            (f"https://{'a' * 64}.com/", UrlFault.HOST),
            (f"https://{'a.' * 127}com/", UrlFault.HOST),
            ("https://2130706433/", UrlFault.HOST),
            ("https://0x7f000001/", UrlFault.HOST),
            ("https://0x7f.1/", UrlFault.HOST),
            ("https://017700000001/", UrlFault.HOST),
            ("https://0177.0.0.1/", UrlFault.HOST),
            ("https://127.1/", UrlFault.HOST),
            ("https://127.0.0.0x1/", UrlFault.HOST),
            ("https://1.2.3.4.5/", UrlFault.HOST),
            ("https://8.8.8.8./", UrlFault.HOST),
            ("https://[fe80::1%25eth0]/", UrlFault.HOST),
            ("https://[::ffff:127.0.0.1]/", UrlFault.HOST),
            ("https://[::ffff:8.8.8.8]/", UrlFault.HOST),
            ("https://[::ffff:7f00:1]/", UrlFault.HOST),
            ("https://[2002:7f00:1::]/", UrlFault.HOST),
            ("https://[v1.fe80]/", UrlFault.HOST),
            ("https://[127.0.0.1]/", UrlFault.SYNTAX),
            ("https://example.com:/", UrlFault.PORT),
            ("https://example.com:0/", UrlFault.PORT),
            ("https://example.com:22/", UrlFault.PORT),
            ("https://example.com:25/", UrlFault.PORT),
            ("https://example.com:6667/", UrlFault.PORT),
            ("https://127.0.0.1/", UrlFault.ADDRESS),
            ("https://0.0.0.0/", UrlFault.ADDRESS),
            ("https://10.1.2.3/", UrlFault.ADDRESS),
            ("https://100.64.0.1/", UrlFault.ADDRESS),
            ("https://169.254.169.254/latest/meta-data/", UrlFault.ADDRESS),
            ("https://168.63.129.16/", UrlFault.ADDRESS),
            ("https://172.31.255.255/", UrlFault.ADDRESS),
            ("https://192.168.0.1/", UrlFault.ADDRESS),
            ("https://224.0.0.1/", UrlFault.ADDRESS),
            ("https://255.255.255.255/", UrlFault.ADDRESS),
            ("https://[::]/", UrlFault.ADDRESS),
            ("https://[::1]/", UrlFault.ADDRESS),
            ("https://[fe80::1]/", UrlFault.ADDRESS),
            ("https://[fec0::1]/", UrlFault.ADDRESS),
            ("https://[fd00:ec2::254]/", UrlFault.ADDRESS),
            ("https://[ff02::1]/", UrlFault.ADDRESS),
            ("https://[::127.0.0.1]/", UrlFault.ADDRESS),
            ("https://[64:ff9b::7f00:1]/", UrlFault.ADDRESS),
            ("https://[64:ff9b:1::1]/", UrlFault.ADDRESS),
            ("https://[2001:db8::1]/", UrlFault.ADDRESS),
            ("https://localhost/", UrlFault.ADDRESS),
            ("https://LOCALHOST/", UrlFault.ADDRESS),
            ("https://intranet/", UrlFault.ADDRESS),
            ("https://half-private.example.com/", UrlFault.ADDRESS),
            ("https://nowhere.example.com/", UrlFault.UNKNOWN_HOST),
        ],
    )
    def test_w1_a_url_that_leads_elsewhere_or_is_spelled_oddly_is_refused(
        self, url: str, fault: UrlFault
    ) -> None:
        assert judged(url) is fault

    @given(st.text(max_size=60) | st.builds("https://{}".format, st.text(max_size=40)))
    def test_any_text_is_judged_without_an_exception(self, text: str) -> None:
        found = rules().destination(text)

        assert isinstance(found, UrlFault) or found.target.startswith("/")


class TestAcceptedUrls:
    @pytest.mark.parametrize(
        ("url", "authority", "port", "target"),
        [
            ("https://example.com", "example.com", 443, "/"),
            ("HTTPS://Example.COM/Hook?a=1&b", "example.com", 443, "/Hook?a=1&b"),
            ("https://example.com?x", "example.com", 443, "/?x"),
            ("https://example.com:8443/h", "example.com:8443", 8443, "/h"),
            ("https://8.8.8.8/", "8.8.8.8", 443, "/"),
            ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443", 8443, "/"),
        ],
    )
    def test_a_public_receiver_is_accepted(
        self, url: str, authority: str, port: int, target: str
    ) -> None:
        to = judged(url)

        assert isinstance(to, Destination)
        assert (to.authority, to.port, to.target) == (authority, port, target)

    @pytest.mark.parametrize(
        "url", ["http://127.0.0.1:8000/", "https://[::1]/", "http://localhost/"]
    )
    def test_a_listed_network_and_http_are_accepted_if_settings_say_so(self, url: str) -> None:
        assert isinstance(judged(url, LOCAL), Destination)

    def test_a_listed_network_opens_no_other_one(self) -> None:
        listed = WebhookSettings(allowed_networks=(ip_network("10.1.0.0/16"),))

        assert isinstance(judged("https://10.1.2.3/", listed), Destination)
        assert judged("https://10.2.2.3/", listed) is UrlFault.ADDRESS


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        ["::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2001::1", "2002:a00:1::"],
    )
    def test_a_private_address_inside_an_ipv6_address_is_not_reachable(self, address: str) -> None:
        assert not is_reachable(ip_address(address), ())

    @pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1111"])
    def test_a_public_address_is_reachable_however_name_servers_write_it(
        self, address: str
    ) -> None:
        assert is_reachable(ip_address(address), ())

    @given(st.ip_addresses())
    def test_no_address_is_reachable_that_python_calls_private(self, address: object) -> None:
        judged_address = ip_address(str(address))
        is_special = (
            judged_address.is_private
            or judged_address.is_loopback
            or judged_address.is_link_local
            or judged_address.is_multicast
            or judged_address.is_unspecified
        )

        assert not (is_special and is_reachable(judged_address, ()))


class TestSystemResolver:
    def test_a_name_has_the_addresses_of_this_machine(self) -> None:
        found = SystemResolver().addresses_of("localhost", within=5)

        assert ip_address("127.0.0.1") in found

    def test_a_name_that_cannot_be_one_has_no_address(self) -> None:
        assert SystemResolver().addresses_of("a" * 64 + ".invalid", within=5) == ()

    def test_name_servers_that_do_not_answer_in_time_are_a_timeout(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")

        monkeypatch.setattr(socket, "getaddrinfo", fail)

        with pytest.raises(TimeoutError):
            SystemResolver().addresses_of("example.com", within=5)
