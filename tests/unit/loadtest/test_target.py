"""Where connections go."""

import pytest

from loadtest.target import BadTarget, Target

API = "https://a1b2c3d4.execute-api.us-east-1.amazonaws.com/candidate"


def test_on_aws_the_url_says_it_all() -> None:
    target = Target.parse(API, {})
    assert (target.connect_host, target.connect_port, target.tls) == (target.host, 443, True)
    assert target.base_path == "/candidate"


def test_the_local_cloud_is_another_address_of_the_same_api() -> None:
    # Given the SDK's variable for another endpoint
    target = Target.parse(API + "/", {"AWS_ENDPOINT_URL": "https://127.0.0.1:4566", "AWS_CA_BUNDLE": "/ca.pem"})
    # Then connections go there, under the API's own name
    assert (target.connect_host, target.connect_port, target.ca_bundle) == ("127.0.0.1", 4566, "/ca.pem")
    assert target.host == "a1b2c3d4.execute-api.us-east-1.amazonaws.com"
    assert target.base_path == "/candidate"
    assert target.is_local_cloud


def test_other_hosts_are_not_redirected() -> None:
    assert Target.parse("http://127.0.0.1:80/x", {"AWS_ENDPOINT_URL": "https://127.0.0.1:4566"}).connect_port == 80


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://x/y", "http://", "http://x:port/", "http://x/?a=1"])
def test_nonsense_is_refused(url: str) -> None:
    with pytest.raises(BadTarget):
        Target.parse(url, {})
