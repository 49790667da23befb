"""Signatures equal botocore's."""

import datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from loadtest.signing import Signer, signer_for

HOST = "a1b2c3d4.execute-api.eu-west-1.amazonaws.com"
NOW = datetime.datetime(2026, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


@pytest.mark.parametrize("token", [None, "a-session-token//=="])
@pytest.mark.parametrize("query", ["", "?customer_id=load-00001&from=2026-01-01T00%3A00%3A00Z&limit=25"])
@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", b""), ("POST", b'{"amount": 1.5}')])
def test_same_signature_as_botocore(
    monkeypatch: pytest.MonkeyPatch, token: str | None, query: str, method: str, body: bytes
) -> None:
    # Given a request that botocore signed at some time
    credentials = Credentials("AKIDEXAMPLE", "secret", token)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: NOW.replace(tzinfo=None))
    request = AWSRequest(method, f"https://{HOST}/dev/validate{query}", data=body)
    SigV4Auth(credentials, "execute-api", "eu-west-1").add_auth(request)
    # When our signer signs the same request at that time
    signer = Signer(credentials, region="eu-west-1", host=HOST)
    headers = signer.headers(method, f"/dev/validate{query}", body, NOW.timestamp())
    # Then the headers are the same
    for name in ("Authorization", "X-Amz-Date", "X-Amz-Security-Token"):
        assert headers.get(name) == request.headers.get(name)


def test_a_request_is_signed_for_the_region_of_its_api(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a person who works elsewhere
    for name, value in {"AWS_REGION": "us-west-2", "AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(name, value)
    # When requests to an API are signed, then for the region in its name; where it has none, for theirs
    for host, region in ((HOST, "eu-west-1"), ("127.0.0.1:8080", "us-west-2")):
        signed = signer_for(host).headers("POST", "/dev/validate", b"", NOW.timestamp())["Authorization"]
        assert f"/20260203/{region}/execute-api/" in signed


def test_follows_renewed_credentials() -> None:
    # Given credentials that change, as those of an assumed role do
    credentials = Credentials("AKIDOLD", "old", "t")
    signer = Signer(credentials, region="eu-west-1", host=HOST)
    before = signer.headers("POST", "/dev/validate", b"", NOW.timestamp())
    credentials.access_key, credentials.secret_key = "AKIDNEW", "new"
    # Then the next signature is made with the new ones
    after = signer.headers("POST", "/dev/validate", b"", NOW.timestamp())
    fresh = Signer(credentials, region="eu-west-1", host=HOST).headers("POST", "/dev/validate", b"", NOW.timestamp())
    assert before != after == fresh
