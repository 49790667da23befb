"""Prepare an AWS account. A second run only adds missing parts and renews an expiring certificate.

For an environment: a certificate for its private load balancer, the parameters that give its stack the certificate and
the host name, and the role under which API Gateway writes logs. For the pipeline: the connection to the repository.

--check asks what could stop a first deployment, and changes nothing: quotas, zones, certificate, settings. Alone it
asks for all environments and the pipeline. What it may not ask, or AWS does not answer, is "unknown" and stops nobody.

--recover clears away what a failed first creation of an environment's stack left behind: docs/runbooks says when. It
refuses a stack that was complete once or holds data. Without --yes it only shows what it would do, and ends with 1.

--renew-roots changes a file here, not an account: it brings the root certificates of Amazon RDS for regions that have
none yet. Without a FILE it downloads the bundles of AWS. It believes known bundles and known certificates only.
"""

import argparse
import sys
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

import names
from environments import PIPELINE, PROMOTION_ORDER, Environment, environment
from names import CONNECTION_PARAMETER, Parameter
from pipeline import aws
from pipeline.bootstrap import (
    account,
    certificate,
    connection,
    preflight,
    preflight_report,
    questions,
    rds_root_renewal,
    rds_roots,
    recovery,
)
from pipeline.output import say


class ExitCode(IntEnum):
    READY = 0
    NOT_READY = 1
    USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    _require_sense(parser, options)
    try:
        return _run(options)
    except ValueError as error:
        say(f"bootstrap: {error}", sys.stderr)
        return ExitCode.USAGE
    except (
        account.WrongAccount,
        certificate.UnusableCertificate,
        connection.ConnectionNotReady,
        questions.NobodyReads,
        recovery.NotRecoverable,
    ) as error:
        say(f"bootstrap: {error}", sys.stderr)
        return ExitCode.NOT_READY
    except (rds_root_renewal.UnverifiedRoots, OSError) as error:
        say(f"bootstrap: the root certificates of Amazon RDS were not renewed: {error}", sys.stderr)
        return ExitCode.NOT_READY
    except (BotoCoreError, ClientError) as error:
        say(f"bootstrap: AWS refused: {error}", sys.stderr)
        return ExitCode.NOT_READY


def _require_sense(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if bool(options.certificate_arn) != bool(options.host_name):
        parser.error("--certificate-arn and --host-name go together")
    if not (options.env or options.pipeline or options.check or options.renew_roots is not None):
        parser.error("one of --env, --pipeline, --check and --renew-roots is needed")
    if options.json and not options.check:
        parser.error("--json needs --check")
    if options.check and options.recover:
        parser.error("--check and --recover exclude each other")
    if options.recover and not options.env:
        parser.error("--recover needs --env")
    if options.yes and not options.recover:
        parser.error("--yes needs --recover")


def _run(options: argparse.Namespace) -> ExitCode:
    if options.check:
        return _check(options)
    if options.renew_roots is not None:
        _renew_roots(options.renew_roots)
    elif options.pipeline:
        _prepare_pipeline(aws.session(PIPELINE.region), options)
    else:
        target = environment(options.env)
        session = aws.session(target.region, target.name)
        if options.recover:
            return _recover(session, target, confirmed=options.yes)
        _prepare_environment(session, target, options)
    return ExitCode.READY


def _prepare_environment(session: boto3.Session, target: Environment, options: argparse.Namespace) -> None:
    _report("account", account.check(session, account=target.account))
    questions.require_reader(target.alert_email, f"alert_email of {target.name}")
    rds_roots.require(session.region_name)  # the settings may leave the region open
    ssm, acm, now = session.client("ssm"), session.client("acm"), datetime.now(UTC)
    arn_parameter = Parameter.ALB_CERTIFICATE_ARN.of(target.name)
    host_parameter = Parameter.ALB_HOST_NAME.of(target.name)
    if options.certificate_arn:
        host_name, arn = options.host_name, options.certificate_arn
        done = certificate.check(acm, arn=arn, host_name=host_name, now=now)
        if not target.alb_certificate_verified:
            done += "; set alb_certificate_verified for this environment if a public authority signed it"
    else:
        if target.alb_certificate_verified:
            raise ValueError(
                f"{target.name} expects a certificate of a public authority: name it with --certificate-arn"
            )
        host_name = f"payments.{target.name}.internal"
        known = account.parameter(ssm, arn_parameter)
        arn, done = certificate.ensure(acm, host_name=host_name, known_arn=known, now=now)
    _report("certificate", f"{done} ({host_name})")
    _report(arn_parameter, account.ensure_parameter(ssm, arn_parameter, arn))
    _report(host_parameter, account.ensure_parameter(ssm, host_parameter, host_name))
    _report("API Gateway logs", account.ensure_api_logs(session.client("apigateway"), session.client("iam")))


def _prepare_pipeline(session: boto3.Session, options: argparse.Namespace) -> None:
    _report("account", account.check(session, account=PIPELINE.account))
    questions.require_reader(PIPELINE.approver_email, "PIPELINE.approver_email")
    client = session.client("codeconnections")
    arn = connection.ensure(client, settings=PIPELINE, provider=options.provider, arn=options.connection_arn)
    _report("connection", f"{arn} to {PIPELINE.repository}")
    _report(CONNECTION_PARAMETER, account.ensure_parameter(session.client("ssm"), CONNECTION_PARAMETER, arn))
    say("Ready: `cdk deploy payment-pipeline` creates the pipeline. After that it updates itself at every push.")


def _check(options: argparse.Namespace) -> ExitCode:
    checks: list[preflight.Check] = []
    everything = not (options.env or options.pipeline)
    if options.pipeline or everything:
        others = sorted({each.region for each in PROMOTION_ORDER if each.region} - {PIPELINE.region})
        checks += preflight.check_pipeline(aws.session(PIPELINE.region), PIPELINE, others)
    for target in [environment(options.env)] if options.env else PROMOTION_ORDER if everything else []:
        checks += preflight.check_environment(aws.session(target.region), target, cdk_out=Path("cdk.out"))
    say(preflight_report.as_json(checks) if options.json else preflight_report.table(checks))
    return ExitCode.READY if preflight.ready(checks) else ExitCode.NOT_READY


def _recover(session: boto3.Session, target: Environment, *, confirmed: bool) -> ExitCode:
    _report("account", account.check(session, account=target.account))
    remains = recovery.survey(session, target.stack_name)
    if remains is None:
        say(f"There is no stack {target.stack_name}, so nothing stands in the way of its creation.")
        return ExitCode.READY
    if not confirmed:
        say(f"The first creation of {target.stack_name} failed. To clear it away, --recover --yes would")
        for action in remains.actions():
            say(f"  - {action}")
        return ExitCode.NOT_READY
    recovery.remove(session, remains, lambda text: say(text))
    say(f"{target.stack_name} is gone. Now let the pipeline run that stage again, with all its actions:")
    say(f"  aws codepipeline retry-stage-execution --pipeline-name {names.PIPELINE} \\")
    say(f"    --stage-name {target.name.capitalize()} --retry-mode ALL_ACTIONS --pipeline-execution-id ID")
    return ExitCode.READY


def _renew_roots(files: list[Path]) -> None:
    wanted = {each.region for each in PROMOTION_ORDER if each.region}
    bundles = [file.read_bytes() for file in files] or [
        rds_root_renewal.download(url) for url in rds_root_renewal.bundle_urls(wanted)
    ]
    done = rds_root_renewal.renew(bundles, now=datetime.now(UTC))
    for refusal in done.refused:
        _report("refused", refusal)
    _report("regions added", ", ".join(done.added) or "none")
    missing = wanted - rds_roots.regions()
    if missing:
        raise rds_root_renewal.UnverifiedRoots(f"there are still none for {', '.join(sorted(missing))}")
    say(f"Commit {rds_roots.FILE.name}: the next deployment gives the certificates to the functions.")


def _report(item: str, action: str) -> None:
    say(f"{item}: {action}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.bootstrap",
        description=__doc__,
        epilog="Exit codes: 0 ready, 1 not ready (the message says what to do), 2 usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--env", metavar="NAME", help="prepare the account of this environment")
    target.add_argument("--pipeline", action="store_true", help="prepare the account of the pipeline")
    target.add_argument(
        "--renew-roots",
        metavar="FILE",
        nargs="*",
        type=Path,
        help="renew the root certificates of Amazon RDS, from these bundles or else from AWS",
    )
    before = parser.add_argument_group("before the first deployment")
    before.add_argument("--check", action="store_true", help="only ask what could stop it; alone, for everything")
    before.add_argument("--json", action="store_true", help="with --check: print JSON")
    failed = parser.add_argument_group("with --env, after a failed first creation of its stack")
    failed.add_argument("--recover", action="store_true", help="show what it takes to clear the stack away")
    failed.add_argument("--yes", action="store_true", help="with --recover: do it")
    own = parser.add_argument_group("with --env, a certificate of your own domain instead of a generated one")
    own.add_argument("--certificate-arn", metavar="ARN", help="certificate in ACM, in the environment's region")
    own.add_argument("--host-name", metavar="NAME", help="a host name of that certificate; it needs no DNS record")
    source = parser.add_argument_group("with --pipeline")
    source.add_argument(
        "--connection-arn", metavar="ARN", help=f"connection to use (default: one called {names.PIPELINE})"
    )
    source.add_argument("--provider", default="GitHub", help="host of the repository, for a new connection")
    return parser


if __name__ == "__main__":
    sys.exit(main())
