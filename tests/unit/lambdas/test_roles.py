"""Passwords reach PostgreSQL as SCRAM verifiers that it will accept."""

from hypothesis import given, settings
from hypothesis import strategies as st
from scramp import ScramClient, ScramMechanism
from scramp.core import ScramServer

from lambdas.adapters.roles import scram_verifier


@settings(max_examples=5)
@given(st.text(alphabet="abcXYZ0189", min_size=1), st.binary(min_size=16, max_size=16))
def test_a_client_with_the_password_passes_the_verifier(password: str, salt: bytes) -> None:
    from base64 import b64decode

    _, parameters, keys = scram_verifier(password, salt).split("$")
    iterations, encoded_salt = parameters.split(":")
    stored_key, server_key = (b64decode(part) for part in keys.split(":"))
    server = ScramMechanism().make_server(
        lambda user: (b64decode(encoded_salt), stored_key, server_key, int(iterations))
    )
    _handshake(ScramClient(["SCRAM-SHA-256"], "u", password), server)


def _handshake(client: ScramClient, server: ScramServer) -> None:
    server.set_client_first(client.get_client_first())
    client.set_server_first(server.get_server_first())
    server.set_client_final(client.get_client_final())
    client.set_server_final(server.get_server_final())
