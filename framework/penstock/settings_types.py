"""Kinds of values that settings take: hosts, addresses, words; each checked as it is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr

from penstock.addresses import check_host, check_hosts, check_url

_BOLT_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def _url(*schemes: str) -> AfterValidator:
    def check(url: SecretStr | None) -> SecretStr | None:
        if url is not None and url.get_secret_value():
            check_url(url.get_secret_value(), schemes)
            return url
        return None

    return AfterValidator(check)


def _urls(*schemes: str) -> AfterValidator:
    def check(urls: SecretStr | None) -> SecretStr | None:
        several = urls.get_secret_value().split() if urls is not None else []
        for url in several:
            check_url(url, schemes)
        return urls if several else None

    return AfterValidator(check)


#: A host name or address, with or without a port ("host", "host:5432", "[::1]:5432").
Host = Annotated[str, AfterValidator(check_host)]
#: One Host, or several with commas between.
Hosts = Annotated[str, AfterValidator(check_hosts)]
#: As Host, or a whole bolt:// or neo4j:// address without a login.
BoltHost = Annotated[str, AfterValidator(lambda host: check_host(host, _BOLT_SCHEMES))]
AmqpUrl = Annotated[SecretStr | None, _url("amqp", "amqps")]
PostgresUrl = Annotated[SecretStr | None, _url("postgresql", "postgres")]
BoltUrl = Annotated[SecretStr | None, _url(*_BOLT_SCHEMES)]
#: One address or more, separated by white space.
PostgresUrls = Annotated[SecretStr | None, _urls("postgresql", "postgres")]
BoltUrls = Annotated[SecretStr | None, _urls(*_BOLT_SCHEMES)]
#: Levels and formats may be written in capitals.
Lower = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
