"""How the laptop stack calls AWS APIs: one address, one pair of keys, nothing of the person's own AWS settings.

A developer's machine has profiles, regions and perhaps real credentials. None of them may reach a client made here:
a stack that is started on a laptop must not be able to touch an account.
"""

import secrets
from dataclasses import asdict, dataclass
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config

REGION = "us-east-1"
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Access:
    """Address and credentials of one running ministack. Field names are those of boto3's `client`."""

    endpoint_url: str
    aws_access_key_id: str
    aws_secret_access_key: str
    region_name: str = REGION

    def as_facts(self) -> dict[str, str]:
        """Arguments for boto3's `client`, for programs that read a stack's file."""
        return asdict(self)

    def client(self, service: str, config: Config | None = None) -> Any:
        """A boto3 client of `service`, typed by the caller's annotation. `config` adds to the usual settings."""
        own = botocore.session.Session(session_vars=NOTHING_FROM_HERE)
        own.register_component("data_loader", DESCRIPTIONS)
        return boto3.Session(
            aws_access_key_id=self.aws_access_key_id,
            aws_secret_access_key=self.aws_secret_access_key,
            region_name=self.region_name,
            botocore_session=own,
        ).client(service, endpoint_url=self.endpoint_url, config=USUAL.merge(config) if config else USUAL)


# No proxy, whatever the environment says: what is called is on this machine.
USUAL = Config(proxies={}, retries={"total_max_attempts": 2})

# What botocore knows of the services, read once per process and not for each client: 0.1 s.
DESCRIPTIONS = botocore.loaders.create_loader()

# botocore's form: setting -> (name in the config file, environment variable, default, conversion).
NOTHING_FROM_HERE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, "/dev/null", None),
    "credentials_file": (None, None, "/dev/null", None),
    "ca_bundle": (None, None, None, None),
}


def made_up_credentials() -> tuple[str, str]:
    """A new access key id and secret, in the form that AWS gives them."""
    return "AKIA" + "".join(secrets.choice(BASE32) for _ in range(16)), secrets.token_urlsafe(30)
