"""The root certificates of Amazon RDS: synthesis refuses a region without them; a renewal accepts known ones only."""

import hashlib
import re
import shutil
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import pipeline_app
from environments import DEV
from pipeline.bootstrap import __main__ as bootstrap
from pipeline.bootstrap import rds_root_renewal, rds_roots
from pipeline.bootstrap.rds_root_renewal import UnverifiedRoots, renew

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def root(name: str, *, valid: timedelta = timedelta(days=36500)) -> x509.Certificate:
    """A self-signed certificate with this name."""
    key, subject = ec.generate_private_key(ec.SECP384R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + valid)
    return builder.sign(key, hashes.SHA384())


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the committed certificates."""
    return Path(shutil.copy(rds_roots.FILE, tmp_path / "roots.pem"))


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty table of known fingerprints."""
    table = tmp_path / "known.toml"
    table.write_text("[bundles]\n[certificates]\n")
    monkeypatch.setattr(rds_root_renewal, "KNOWN", table)
    return table


NEW = root("Amazon RDS mx-central-1 Root CA ECC384 G1")


def test_each_region_of_the_file_has_its_three_roots_in_force() -> None:
    certificates = x509.load_pem_x509_certificates(rds_roots.FILE.read_bytes())
    names = sorted(str(each.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for each in certificates)
    kinds = ("ECC384", "RSA2048", "RSA4096")
    assert names == sorted(f"Amazon RDS {region} Root CA {kind} G1" for region in rds_roots.regions() for kind in kinds)
    assert all(each.subject == each.issuer for each in certificates)
    assert min(each.not_valid_after_utc for each in certificates) > datetime.now(UTC) + timedelta(days=365)


def test_each_further_region_has_three_known_sha_256_fingerprints() -> None:
    table = tomllib.loads(rds_root_renewal.KNOWN.read_text())
    assert all(re.fullmatch("[0-9a-f]{64}", each) for part in table.values() for each in part.values())
    regions = {name.split()[0] for name in table["certificates"]}
    assert len(table["certificates"]) == 3 * len(regions)
    assert {"il-central-1", "ca-west-1", "us-gov-west-1"} <= regions
    assert not regions & rds_roots.regions()


def test_a_region_without_roots_is_refused_at_synthesis(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for region in ("il-central-1", "mars-north-1"):
        monkeypatch.setattr(pipeline_app, "environment", lambda name, there=region: replace(DEV, region=there))
        with pytest.raises(ValueError, match=rf"{region}: .* run  python -m pipeline\.bootstrap --renew-roots"):
            pipeline_app.create_app(context={"environmentSuffix": "dev"}, outdir=str(tmp_path))


def test_a_known_certificate_is_added_and_the_rest_of_the_file_stays(file: Path, known: Path) -> None:
    before = file.read_text()
    known.write_text(f'[bundles]\n[certificates]\n"new" = "{NEW.fingerprint(hashes.SHA256()).hex()}"\n')
    done = renew([pem(NEW)], now=NOW, file=file)
    assert (done.added, done.refused) == (["mx-central-1"], [])
    section = f"# Amazon RDS mx-central-1 Root CA ECC384 G1\n{pem(NEW).decode()}"
    assert file.read_text().replace(section, "") == before


def test_a_known_bundle_adds_each_of_its_regions(file: Path, known: Path) -> None:
    bundle = pem(NEW, root("Amazon RDS ap-southeast-6 Root CA RSA2048 G1"))
    known.write_text(f'[bundles]\nglobal = "{hashlib.sha256(bundle).hexdigest()}"\n[certificates]\n')
    assert renew([bundle], now=NOW, file=file).added == ["ap-southeast-6", "mx-central-1"]


def test_an_unknown_certificate_with_a_known_name_is_refused(file: Path, known: Path) -> None:
    # Given an unknown bundle: one certificate from the file, and one that only has the same name
    before = file.read_text()
    forged = root("Amazon RDS eu-west-1 Root CA RSA2048 G1")
    own = next(each for each in x509.load_pem_x509_certificates(file.read_bytes()))
    # When it is read, then the second one is refused, and the file stays unchanged
    done = renew([pem(own, forged)], now=NOW, file=file)
    [refusal] = done.refused
    assert refusal.startswith("Amazon RDS eu-west-1 Root CA RSA2048 G1: its SHA-256 fingerprint ")
    assert file.read_text() == before


@pytest.mark.parametrize(
    "bundle", [b"<html>Please log in</html>", b"", pem(root("Amazon RDS eu-west-9 Root CA RSA2048 G1"))]
)
def test_a_bundle_without_known_certificates_changes_nothing(file: Path, known: Path, bundle: bytes) -> None:
    before = file.read_text()
    with pytest.raises(UnverifiedRoots):
        renew([bundle], now=NOW, file=file)
    assert file.read_text() == before


def test_preview_intermediate_and_expired_certificates_are_left_out(file: Path, known: Path) -> None:
    preview, old = (
        root("Amazon RDS Preview us-east-2 Root CA RSA2048 G1"),
        root("Amazon RDS sa-west-1 Root CA RSA2048 G1", valid=timedelta(days=1)),
    )
    bundle = pem(preview, old, NEW)
    known.write_text(f'[bundles]\nglobal = "{hashlib.sha256(bundle).hexdigest()}"\n[certificates]\n')
    assert renew([bundle], now=NOW, file=file).added == ["mx-central-1"]
    assert "Preview" not in file.read_text()


def test_another_partition_is_asked_only_if_an_environment_is_in_it() -> None:
    commercial = rds_root_renewal.bundle_urls({"eu-west-1"})
    assert [re.sub("/global/.*", "", url) for url in commercial] == ["https://truststore.pki.rds.amazonaws.com"]
    assert len(rds_root_renewal.bundle_urls({"us-gov-west-1", "cn-north-1"})) == 3


def test_the_command_reports_the_result_of_a_renewal(
    file: Path, known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a downloaded bundle, of which half is known
    monkeypatch.setattr(rds_root_renewal.renew, "__kwdefaults__", {"file": file})
    known.write_text(f'[bundles]\n[certificates]\n"new" = "{NEW.fingerprint(hashes.SHA256()).hex()}"\n')
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(pem(NEW, root("Amazon RDS ap-southeast-6 Root CA RSA2048 G1")))
    # When the command reads it, then it reports the known and the unknown half
    assert bootstrap.main(["--renew-roots", str(bundle)]) == 0
    said = capsys.readouterr().out
    assert "refused: Amazon RDS ap-southeast-6" in said
    assert "regions added: mx-central-1" in said
    # And a missing file or network gives a message, not a traceback
    assert bootstrap.main(["--renew-roots", str(tmp_path / "typo.pem")]) == 1
    assert "typo.pem" in capsys.readouterr().err
