"""The environments that the console shows, and the connection to each: local clouds, or AWS as the caller."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import boto3
from botocore.config import Config

from console.gates.reading import is_under_way
from environments import PROMOTION_ORDER, environment
from localcloud import LocalCloud, LocalCloudError
from localcloud.settings import TIME_SCALE
from pipeline.aws import session
from pipeline.local.process import clean_environment
from pipeline.local.report import clouds
from pipeline.local.state import State
from pipeline.release.aws import PROMPT_CONFIG

MEASURED_SECONDS = 30.0
"""Between two readings of a local cloud that a load gate measures. One takes 0.1 s from the payments. Read each few
seconds, that is more than one payment of a hundred, and so a part of the p99."""
PERMANENT = tuple(each.name for each in PROMOTION_ORDER)


class NotRunning(Exception):
    """The environment can't be reached now. The message says what to do."""


class Platforms(Protocol):
    """Every method raises ``NotRunning`` for an environment that is not there."""

    def names(self) -> Sequence[str]: ...

    def session(self, environment: str) -> boto3.Session:
        """Clients of a session are safe to share between threads; the session itself is not."""
        ...

    def variables(self, environment: str) -> Mapping[str, str]:
        """The variables of a command on the environment, beside those of the console."""
        ...

    def is_measured(self, environment: str) -> bool:
        """Whether a load gate measures it now, so that whoever asks it has a part in the result."""
        ...


def spared(platforms: Platforms, environment: str, seconds: float) -> Callable[[], float]:
    """The seconds between two readings of an environment; ``seconds``: while no gate measures it."""
    return lambda: MEASURED_SECONDS if platforms.is_measured(environment) else seconds


class LocalPlatforms:
    """The local clouds of this folder. No setting of a real account reaches them."""

    def __init__(self, state: State) -> None:
        self._state = state

    def names(self) -> Sequence[str]:
        others = [cloud.name for cloud in clouds(self._state) if cloud.name not in PERMANENT]
        return [*PERMANENT, *others]

    def session(self, environment: str) -> boto3.Session:
        return CloudSession(self._variables(environment))

    def variables(self, environment: str) -> Mapping[str, str]:
        return {**clean_environment(), **self._variables(environment), "BAKE_SCALE": str(TIME_SCALE)}

    def is_measured(self, environment: str) -> bool:
        return is_under_way(self._state, environment)

    def _variables(self, environment: str) -> dict[str, str]:
        if environment not in self.names():
            raise NotRunning(f"There is no environment {environment}.")
        cloud = LocalCloud(environment, self._state.clouds)
        try:
            if cloud.is_running():
                return cloud.environ()
        except LocalCloudError:  # stopped meanwhile
            pass
        raise NotRunning(f"The local cloud {environment} does not run: `make promote` starts and fills it.")


class CloudSession(boto3.Session):
    """A session whose clients reach one local cloud, whatever the variables of this process say."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            region_name=variables["AWS_REGION"],
        )
        self._endpoint = {"endpoint_url": variables["AWS_ENDPOINT_URL"], "verify": variables["AWS_CA_BUNDLE"]}

    def client(self, service_name: str, *, config: Config | None = None, **more: Any) -> Any:  # type: ignore[override]
        unproxied = Config(proxies={}).merge(config) if config else Config(proxies={})
        return super().client(service_name, config=unproxied, **self._endpoint, **more)  # type: ignore[call-overload]


class Clients:
    """Clients of one account and region, by the caller's credentials as they were read last."""

    def __init__(self, session: Callable[[], boto3.Session]) -> None:
        self._session = session
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = self._session().client(service, config=PROMPT_CONFIG)  # type: ignore[call-overload]
        return self._made[service]

    def forget(self) -> None:
        """Read the credentials anew: their owner may have logged in again."""
        self._made = {}


class AwsPlatforms:
    """The deployed environments, by the caller's own credentials: variables, profile or single sign-on."""

    def names(self) -> Sequence[str]:
        return PERMANENT

    def session(self, environment_name: str) -> boto3.Session:
        if environment_name not in PERMANENT:
            raise NotRunning(f"There is no environment {environment_name}.")
        return session(environment(environment_name).region)

    def variables(self, environment: str) -> Mapping[str, str]:
        return {}

    def is_measured(self, environment: str) -> bool:
        """No: AWS has room for both."""
        return False
