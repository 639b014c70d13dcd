"""`python -m local invoke --function NAME --event FILE`: one event through one function, in Lambda's own container.

Inside: which events must come before which, and the table and queue that the function finds. Kept out: filling in an
event (`events.py`), Docker and sam (`containers.py`).

A container cannot reach loopback, so a ministack of its own listens on Docker's bridge for as long as the command
runs, with the template deployed in it, auth service included, and the functions are given its addresses. They have the
keys of access tokens inline, as every deployed function has; those of ID tokens have an address only, which must be
https or on loopback: so an exchange cannot succeed there. What must have happened before, such as the connection's
row, or for the worker a run that waits in the queue, is made by sending the events of PRECEDING through the deployed
functions: the real ones, so nothing about rows is known here.

For __main__: `asyncio.run(invoke(function, event))` is the exit status; raises Unable.
"""

import asyncio
import base64
import json
import shutil
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus
from uuid import uuid4

from local import containers, deploy, events, state
from local.build import Target
from local.containers import Sam
from local.emulators.issuer import CLIENT_ID, GROUPS_CLAIM, Issuer
from local.emulators.ministack import Ministack
from local.errors import Unable
from local.tokens import AccessTokens

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

PRECEDING = {
    "authorizer": (),
    "connect": (),
    "message": ("connect",),
    "disconnect": ("connect",),
    "worker": ("connect", "message-hello", "message-user-message"),
    "control": ("connect",),
    "http": ("connect", "message-user-message"),
    "auth": (),
    "jwks": (),
}
# Only names: nobody listens there.
ISSUER_URL = "http://127.0.0.1"
IDENTITY_URL = "http://127.0.0.1:1"


@dataclass(frozen=True)
class Bench:
    """A deployed stack that containers reach, and who signs the events' tokens."""

    sam: Sam
    outputs: dict[str, str]
    identity: Issuer
    folder: Path

    def event(self, name: str) -> dict[str, Any]:
        """The event of that name, filled in for this moment; one that speaks of a run takes it from the queue."""
        signers = events.Signers(self._access_tokens(), self.identity)
        text = events.path(name).read_text("utf-8")
        waiting = self._waiting_run() if "{{run}}" in text else {}
        return events.fill(text, signers=signers, now=time.time(), known=self._known() | waiting)

    def prepare(self, function: str) -> None:
        """Make happen what precedes an event for `function`."""
        for name in PRECEDING[function]:
            self._send(name)

    def _access_tokens(self) -> AccessTokens:
        return AccessTokens(self.sam.access.client("kms"), self._deployed("auth")["SIGNING_KEY"], issuer=ISSUER_URL)

    def _known(self) -> dict[str, str]:
        """What events need of the deployed stack. ministack takes a custom resource's answer that nobody waits for."""
        auth = self._deployed("auth")
        # RFC 6749, section 2.3.1: each part is encoded as in a form first.
        credentials = ":".join(quote_plus(auth[f"INTROSPECTION_{part}"]) for part in ("CLIENT", "SECRET"))
        return {
            "signing-key": auth["SIGNING_KEY"],
            "introspection": base64.b64encode(credentials.encode()).decode(),
            "response-url": f"{self.sam.access.endpoint_url}/_ministack/cfn-response/{uuid4()}",
        }

    def _deployed(self, function: str) -> dict[str, str]:
        """The environment that the template gave to a function."""
        functions: LambdaClient = self.sam.access.client("lambda")
        name = self.outputs[f"{function.title()}FunctionName"]
        return functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]

    def variables(self) -> Path:
        """A file for sam's --env-vars: what the deployed functions have, with the addresses of ministack."""
        found = {
            logical_id(name): {key: self._address(key) or value for key, value in self._deployed(name).items()}
            for name in PRECEDING
        }
        path = self.folder / "variables.json"
        path.write_text(json.dumps(found), "utf-8")
        return path

    def _address(self, variable: str) -> str:
        """ministack's address where `variable` is a service's; its own path for @connections, which knows of none."""
        endpoint = self.sam.access.endpoint_url
        if variable == "AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI":
            return f"{endpoint}/_aws/execute-api/{self.outputs['ApiId']}/{self.outputs['StageName']}"
        return endpoint if variable.startswith("AWS_ENDPOINT_URL_") else ""

    def _send(self, name: str) -> None:
        functions: LambdaClient = self.sam.access.client("lambda")
        target = self.outputs[f"{name.partition('-')[0].title()}FunctionName"]
        answer = functions.invoke(FunctionName=target, Payload=json.dumps(self.event(name)))
        if "FunctionError" in answer:
            raise Unable(f"events/{name}.json, which must come first, failed: {answer['Payload'].read().decode()}")

    def _waiting_run(self) -> dict[str, str]:
        sqs: SQSClient = self.sam.access.client("sqs")
        received = sqs.receive_message(QueueUrl=self.outputs["QueueUrl"], WaitTimeSeconds=5).get("Messages", [])
        if not received:
            raise Unable("events/message-user-message.json put no run into the queue, so there is none for the worker.")
        body = json.loads(received[0]["Body"])
        return {"thread": body["thread_id"], "run": body["run_id"], "receipt": received[0]["ReceiptHandle"]}


def logical_id(function: str) -> str:
    """The function's name in the template. Raises Unable for an unknown one."""
    if function not in PRECEDING:
        raise Unable(f"There is no function {function}; there are: {', '.join(PRECEDING)}.")
    return f"{function.title()}Function"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """Build, start ministack where containers reach it, deploy. `folder` is the state folder. Raises Unable."""
    target, address = Target.this_machine(), containers.bridge()
    containers.pull_options(target)
    with files(folder) as run:
        ministack = listening(run, address)
        sam = Sam(target, run / "build" / "template.yaml", ministack.access)
        say("building the layers and deploying")
        try:
            await sam.build()
            await ministack.start()
            deployment = await asyncio.to_thread(deployed, sam)
            yield Bench(sam, deployment.outputs, Issuer(folder, url=IDENTITY_URL), run)
        finally:
            await ministack.stop()


@contextmanager
def files(folder: Path) -> Iterator[Path]:
    """A folder for this start's files, gone afterwards."""
    run, lock = state.new_run(state.prepare(folder))
    try:
        yield run
    finally:
        shutil.rmtree(run, ignore_errors=True)
        lock.close()


def listening(run: Path, address: str) -> Ministack:
    try:
        return Ministack(run, host=address)
    except OSError as error:
        raise Unable(
            f"Containers reach this machine at {address}, where nothing of ours can listen ({error.strerror}): "
            "`sam local` needs Docker Engine on Linux, not Docker Desktop; `make up` needs no Docker."
        ) from error


def deployed(sam: Sam) -> deploy.Deployment:
    parameters = {
        "PythonRuntime": sam.target.runtime,
        "Architecture": sam.target.architecture,
        "Local": "true",
        "Issuer": ISSUER_URL,
        "IdentityIssuer": IDENTITY_URL,
        "IdentityClientId": CLIENT_ID,
        "IdentityJwksUrl": f"{IDENTITY_URL}/.well-known/jwks.json",
        "GroupsClaim": GROUPS_CLAIM,
        "PublishKeys": "false",
        "AllowedOrigins": events.WEB_ORIGIN,
        "ManagementEndpoint": f"{sam.access.endpoint_url}/none",
    }
    return deploy.deploy(sam.access, sam.template, stack_name="invoke", parameters=parameters)


async def invoke(function: str, event: str, *, folder: Path = state.DEFAULT) -> int:
    """Print what the function answers to the event file `event`; its log goes to standard error.

    Returns the exit status: 1 if the function raised. Raises Unable if it could not be called at all.
    """
    identifier = logical_id(function)
    events.path(event)
    async with bench(folder) as ready:
        await asyncio.to_thread(ready.prepare, function)
        filled = ready.folder / "event.json"
        filled.write_text(json.dumps(ready.event(event)), "utf-8")
        arguments = ready.sam.local("invoke", identifier, "--event", str(filled), variables=ready.variables())
        status, answer = await ready.sam.finish(arguments)
    print(answer.strip())
    return 1 if status or containers.failed(answer) else 0
