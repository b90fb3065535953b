"""A real authority, over HTTPS by the library `acme`. Nothing else imports that library."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import requests
from acme import challenges, errors, messages
from acme.client import ClientNetwork, ClientV2
from cryptography import x509
from josepy.errors import Error as JoseError
from josepy.jwa import ES256
from josepy.jwk import JWKEC

from pipeline.acme.authority import AuthorityError, Authorization, Challenge, Order, OrderStatus
from pipeline.acme.external_account import read_external_account
from pipeline.acme.keys import new_key, signing_request
from pipeline.balancer.acme_account import account_key
from pipeline.balancer.model.acme import AcmeCertificate
from pipeline.base.deadline import within

T = TypeVar("T")
# Seconds for one read, and for a whole call with its retries.
_READ_TIMEOUT = 20
_TIMEOUT = 60.0
# The library repeats a request once if the authority refuses its nonce.
_NONCE_TRIES = 10
# A file with authorities that cannot be read is an `OSError`. The last three come of an answer that lacks a part.
_FAULTS = (errors.Error, JoseError, OSError, ValueError, ArithmeticError, KeyError, AttributeError, TypeError)
# An authority that wants a longer wait is asked again after this time.
_LONGEST_WAIT = timedelta(days=7)
# RFC 9773 recommends these limits.
_LEAST_ASK, _MOST_ASK = timedelta(minutes=1), timedelta(days=1)
_RESPONSES = {"http-01": challenges.HTTP01Response, "dns-01": challenges.DNS01Response}
# Kinds of errors after which the same request may succeed later.
_PASSING = ("badNonce", "serverInternal", "rateLimited", "accountDoesNotExist", "connection", "dns")


def open_authority(wanted: AcmeCertificate, directory: Path) -> AcmeAuthority:
    """Return the authority of a certificate, with the account of the balancer in `directory`. Asks nothing yet."""
    return AcmeAuthority(wanted, directory)


class AcmeAuthority:
    """An authority with a directory at a URL. It connects at the first request, and anew after an error."""

    def __init__(self, wanted: AcmeCertificate, directory: Path) -> None:
        self._wanted = wanted
        self._directory = directory
        self._connected: ClientV2 | None = None
        self._last: requests.Response | None = None

    def new_order(self, domains: Sequence[str]) -> Order:
        """Request a certificate."""

        def request(client: ClientV2) -> Order:
            # The library reads the domains from a request. The one that counts is sent later, with its own key.
            made = client.new_order(signing_request(new_key(), domains))
            return _order(made.uri, made.body, [each.body for each in made.authorizations])

        return self._ask(request)

    def order(self, url: str) -> Order:
        """Return the order as it is now."""

        def request(client: ClientV2) -> Order:
            response = _get(client, url)
            body = messages.Order.from_json(response.json())
            found = [messages.Authorization.from_json(_get(client, each).json()) for each in body.authorizations]
            return _order(url, body, found, _delay(response))

        return self._ask(request)

    def answer(self, challenge: Challenge) -> None:
        """Ask the authority to check a proof."""
        # The answer is the same for each kind: an empty object.
        self._ask(lambda client: _post(client, challenge.url, challenges.HTTP01Response(key_authorization=None)))

    def finalize(self, order: Order, request: bytes) -> None:
        """Request the certificate of an order."""
        wrapped = messages.CertificateRequest(csr=x509.load_pem_x509_csr(request))

        def finalize(client: ClientV2) -> None:
            body = messages.Order.from_json(_get(client, order.url).json())
            _post(client, body.finalize, wrapped)

        self._ask(finalize)

    def certificate(self, order: Order) -> str:
        """Return the certificate of an order, with its chain."""

        def request(client: ClientV2) -> str:
            body = messages.Order.from_json(_get(client, order.url).json())
            return _get(client, body.certificate).text

        return self._ask(request)

    def renewal_time(self, certificate: str) -> tuple[datetime | None, datetime]:
        """Return when the authority wants a certificate to be renewed, and when to ask again."""
        wished, ask_again = self._ask(lambda client: client.renewal_time(certificate.encode()))
        # The library returns the second time without a zone.
        delay = ask_again - datetime.now()  # noqa: DTZ005
        return wished, datetime.now(UTC) + min(max(delay, _LEAST_ASK), _MOST_ASK)

    def _ask(self, request: Callable[[ClientV2], T]) -> T:
        try:
            return within(_TIMEOUT, lambda: self._repeated(request))
        except messages.Error as error:
            raise self._refusal(error) from error
        except errors.ARIError as error:
            raise AuthorityError(f"{self._wanted.directory}: {error.__cause__ or error}") from error
        except TimeoutError as error:
            self._connected = None
            raise AuthorityError(f"{self._wanted.directory} did not answer within {_TIMEOUT:g} s") from error
        except _FAULTS as error:
            raise self._fault(error) from error

    def _repeated(self, request: Callable[[ClientV2], T]) -> T:
        tries = 0
        while True:
            tries, self._last = tries + 1, None
            try:
                return request(self._client())
            except messages.Error as error:
                if error.code != "badNonce" or tries == _NONCE_TRIES:
                    raise

    def _refusal(self, error: messages.Error) -> AuthorityError:
        # Also if the authority has lost the account, as one for tests does at each start.
        self._connected = None
        is_final = error.code not in _PASSING and self._is_refused
        return AuthorityError(_reason(error), is_final=is_final, retry_after=self._retry_after())

    def _fault(self, error: Exception) -> AuthorityError:
        """Return the error for an authority that was not reached, or whose answer is not that of an authority."""
        self._connected, found = None, self._last
        is_refused = found is not None and not found.ok
        text = f"{found.url} returned HTTP {found.status_code}" if found is not None and is_refused else str(error)
        return AuthorityError(
            f"{self._wanted.directory}: {text or type(error).__name__}",
            is_final=is_refused and self._is_refused,
            retry_after=self._retry_after(),
        )

    @property
    def _is_refused(self) -> bool:
        """True if the authority blames its client for the last answer, and more time does not help."""
        return self._last is not None and 400 <= self._last.status_code < 500 and self._last.status_code != 429

    def _retry_after(self) -> timedelta:
        return _delay(self._last) if self._last is not None and not self._last.ok else timedelta(0)

    def _client(self) -> ClientV2:
        if self._connected is None:
            key = JWKEC(key=account_key(self._directory))
            # The library passes this on to requests, which takes the path of a file too.
            trust = cast("bool", self._wanted.trust_store or True)
            network = ClientNetwork(key, alg=ES256, verify_ssl=trust, user_agent="penstock", timeout=_READ_TIMEOUT)
            network.session.hooks["response"].append(self._remember)
            client = ClientV2(ClientV2.get_directory(self._wanted.directory, network), network)
            self._register(client)
            self._connected = client
        return self._connected

    def _register(self, client: ClientV2) -> None:
        """Make the account, or find the one of the key."""
        account = messages.NewRegistration.from_data(
            email=self._wanted.email, terms_of_service_agreed=True, external_account_binding=self._binding(client)
        )
        try:
            client.new_account(account)
        except errors.ConflictError as conflict:
            client.net.account = messages.RegistrationResource(body=messages.Registration(), uri=conflict.location)

    def _binding(self, client: ClientV2) -> dict[str, Any] | None:
        name = self._wanted.external_account
        if name is None:
            if client.external_account_required():
                raise errors.ClientError("it needs an external account; name yours in external_account")
            return None
        external = read_external_account(self._directory, name)
        public = JWKEC(key=account_key(self._directory)).public_key()
        return messages.ExternalAccountBinding.from_data(public, external.key_id, external.hmac_key, client.directory)

    def _remember(self, response: requests.Response, *_: object, **__: object) -> None:
        self._last = response


def _post(client: ClientV2, url: str, content: Any) -> requests.Response:
    return client.net.post(url, content, new_nonce_url=client.directory["newNonce"])


def _get(client: ClientV2, url: str) -> requests.Response:
    """Read a resource, which ACME does by a signed POST without content."""
    return _post(client, url, None)


def _order(
    url: str, body: messages.Order, found: Sequence[messages.Authorization], delay: timedelta = timedelta(0)
) -> Order:
    return Order(
        url,
        cast("OrderStatus", body.status.name),
        tuple(map(_authorization, found)),
        _reason(body.error) if body.error else "",
        delay,
    )


def _authorization(body: messages.Authorization) -> Authorization:
    domain, status = body.identifier.value, body.status
    offered: Mapping[str, Challenge] = {
        each.chall.typ: Challenge(domain, each.uri, each.chall.encode("token"))
        for each in body.challenges
        if each.chall.typ in _RESPONSES
    }
    reasons = "; ".join(_reason(each.error) for each in body.challenges if each.error)
    is_open = status == messages.STATUS_PENDING
    return Authorization(domain, is_open, status == messages.STATUS_VALID, offered, reasons or status.name)


def _reason(error: messages.Error) -> str:
    details = [each.detail or each.code or each.typ for each in (error, *(error.subproblems or ()))]
    return ": ".join(dict.fromkeys(details))


def _delay(response: requests.Response) -> timedelta:
    """Return the time in the header `Retry-After`, zero without one."""
    with suppress(ValueError, OverflowError):
        # The library returns a time without a zone.
        delay = ClientV2.retry_after(response, 0) - datetime.now()  # noqa: DTZ005
        return min(max(delay, timedelta(0)), _LONGEST_WAIT)
    return timedelta(0)
