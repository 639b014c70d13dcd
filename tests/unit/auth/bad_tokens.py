"""An attack corpus: bad access tokens by the reason they are refused for, each under a name.

Most are signed with the right key, so that what refuses them is the check they are for and not the signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from tests.support.tokens import (
    CLAIMS,
    EC,
    ED,
    HEADER,
    ISSUER,
    NOW,
    RSA,
    STRANGER,
    TICKET,
    TICKET_HEADER,
    public_jwk,
    segment,
    signature,
    signed,
    token,
)

Tokens = dict[str, str]

BODY, SIGNATURE = token().rpartition(".")[0], token().rpartition(".")[2]
ES256_BODY = token(key=EC, alg="ES256").rpartition(".")[0]
JSON = json.dumps(CLAIMS)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def claims(**changes: Any) -> str:
    """Signed with the right key; a claim of `...` is left out."""
    return token({name: value for name, value in {**CLAIMS, **changes}.items() if value is not ...})


def literal(name: str, value: str) -> str:
    """A claim spelled as JSON would not be written by Python."""
    return signed(HEADER, JSON.replace(f'"{name}": {json.dumps(CLAIMS[name])}', f'"{name}": {value}').encode())


def payload(raw: str | bytes) -> str:
    return signed(HEADER, raw.encode() if isinstance(raw, str) else raw)


def unsigned(alg: Any) -> str:
    return f"{segment({**HEADER, 'alg': alg})}.{segment(CLAIMS)}."


def hmac_with(secret: bytes, alg: str = "HS256", kid: str = "rsa") -> str:
    """Algorithm confusion (RFC 8725, section 2.1): the public key is no secret, so anyone can do this."""
    body = f"{segment({**HEADER, 'alg': alg, 'kid': kid})}.{segment(CLAIMS)}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}[alg]
    return f"{body}.{segment(hmac.new(secret, body.encode(), digest).digest())}"


def raw_es256() -> bytes:
    return signature(ES256_BODY, EC, "ES256")


def der_es256() -> bytes:
    return EC.sign(ES256_BODY.encode(), ec.ECDSA(hashes.SHA256()))


def beyond_the_order() -> bytes:
    """(r + n, s): the same numbers modulo the order of P-256, which must lie between 1 and n - 1."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    r, s = decode_dss_signature(der_es256())
    return (r + order).to_bytes(33, "big") + s.to_bytes(32, "big")


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer.example")])
    made = x509.CertificateBuilder(name, name, STRANGER.public_key(), 1)
    made = made.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
    return base64.b64encode(made.sign(STRANGER, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def deflated(raw: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(raw) + squeeze.flush()


def last_character_moved() -> str:
    """The last character of an RSA signature has four bits that decoders ignore: a second spelling of one token."""
    last = ALPHABET.index(SIGNATURE[-1])
    return f"{BODY}.{SIGNATURE[:-1]}{ALPHABET[last ^ 1]}"


PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PKCS1 = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
EC_PEM = EC.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RSA_JWK = public_jwk(RSA, "rsa")
STRANGE_JWK = public_jwk(STRANGER, "stranger")

SHAPE: Tokens = {
    "empty": "",
    "two dots": "..",
    "one segment": BODY.partition(".")[0],
    "two segments": BODY,
    "four segments": f"{token()}.x",
    "JWE, five parts": ".".join([segment({"alg": "RSA-OAEP", "enc": "A256GCM"}), "a", "b", "c", "d"]),
    "JSON serialization": json.dumps({"payload": BODY.split(".")[1], "signatures": [{"signature": SIGNATURE}]}),
    "over 4 KB": claims(note="y" * 4096),
    "sub of 10 KB": claims(sub="x" * 10_240),
    "leading space": f" {token()}",
    "trailing newline": f"{token()}\n",
    "tab inside": f"{BODY}\t.{SIGNATURE}",
    "folded over lines": f"{BODY}.\r\n {SIGNATURE}",
    "padding on the signature": f"{BODY}.{SIGNATURE}==",
    "padding on the header": f"{segment({**HEADER, 'x': 1})}=.{segment(CLAIMS)}.{SIGNATURE}",
    "standard base64 alphabet": f"{BODY}.{SIGNATURE[:-2]}+/",
    "the word Bearer": f"Bearer {token()}",
    "percent-encoded dots": token().replace(".", "%2E"),
    "full-width dots": token().replace(".", "\N{FULLWIDTH FULL STOP}"),
    "not ASCII": token().replace("e", "\N{CYRILLIC SMALL LETTER IE}"),
    "NUL at the end": f"{token()}\x00",
    "zero-width space": f"{token()}\u200b",
    "byte order mark": f"\ufeff{token()}",
    "lone surrogate": f"{token()}\ud800",
    "detached payload": f"{BODY.split('.')[0]}..{SIGNATURE}",
    "no header": f".{BODY.split('.')[1]}.{SIGNATURE}",
}
HEADER_BASE64: Tokens = {"header of an impossible length": f"{'a' * 5}.{segment(CLAIMS)}.{SIGNATURE}"}
HEADER_JSON: Tokens = {
    "alg twice, the first none": signed(b'{"alg":"none","alg":"RS256","kid":"rsa","typ":"at+jwt"}', CLAIMS),
    "alg twice, the second none": signed(b'{"alg":"RS256","kid":"rsa","typ":"at+jwt","alg":"none"}', CLAIMS),
    "kid twice": signed(b'{"alg":"RS256","kid":"x","kid":"rsa","typ":"at+jwt"}', CLAIMS),
    "typ twice": signed(b'{"alg":"RS256","kid":"rsa","typ":"JWT","typ":"at+jwt"}', CLAIMS),
    "alg twice, once escaped": signed(b'{"alg":"RS256","kid":"rsa","typ":"at+jwt","\\u0061lg":"none"}', CLAIMS),
    "header not UTF-8": signed(b'{"alg":"RS256","kid":"\xff","typ":"at+jwt"}', CLAIMS),
    "header in UTF-16": signed(json.dumps(HEADER).encode("utf-16"), CLAIMS),
    "header with byte order mark": signed(b"\xef\xbb\xbf" + json.dumps(HEADER).encode(), CLAIMS),
    "header nested deep": signed(json.dumps({**HEADER, "x": json.loads("[" * 90 + "]" * 90)}).encode(), CLAIMS),
    "header with trailing text": signed(json.dumps(HEADER).encode() + b" {}", CLAIMS),
    "header in single quotes": signed(str(HEADER).encode(), CLAIMS),
}
HEADER_OBJECT: Tokens = {
    "header a list": signed([HEADER], CLAIMS),
    "header a string": signed("RS256", CLAIMS),
    "header null": signed(None, CLAIMS),
}
ALGORITHM: Tokens = {
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg NONE": unsigned("NONE"),
    "alg nOnE": unsigned("nOnE"),
    "alg none with a space": unsigned("none "),
    "alg none, signed nevertheless": token(alg="RS256") and signed({**HEADER, "alg": "none"}, CLAIMS),
    "alg empty": unsigned(""),
    "alg missing": signed({"kid": "rsa", "typ": "at+jwt"}, CLAIMS),
    "alg null": unsigned(None),
    "alg a list": unsigned(["RS256"]),
    "alg an object": unsigned({"RS256": 1}),
    "alg a number": unsigned(256),
    "alg true": unsigned(True),
    "alg in lower case": signed({**HEADER, "alg": "rs256"}, CLAIMS),
    "alg with a NUL": signed({**HEADER, "alg": "RS256\x00"}, CLAIMS),
    "RS384 with the right key": signed({**HEADER, "alg": "RS384"}, CLAIMS, RSA, "RS384"),
    "RS512 with the right key": signed({**HEADER, "alg": "RS512"}, CLAIMS, RSA, "RS512"),
    "PS256 with the right key": signed({**HEADER, "alg": "PS256"}, CLAIMS, RSA, "PS256"),
    "RSA1_5, a key-wrapping algorithm": signed({**HEADER, "alg": "RSA1_5"}, CLAIMS),
    "dir, a JWE in three parts": signed({**HEADER, "alg": "dir", "enc": "A256GCM"}, CLAIMS),
    "HMAC with the public key as PEM": hmac_with(PEM),
    "HMAC with the public key as PEM, no newline": hmac_with(PEM.strip()),
    "HMAC with the public key as PKCS 1": hmac_with(PKCS1),
    "HMAC with the public key as DER": hmac_with(DER),
    "HMAC with the public key as JWK": hmac_with(json.dumps(RSA_JWK).encode()),
    "HMAC with the public key's modulus": hmac_with(RSA_JWK["n"].encode()),
    "HMAC with the EC key as PEM": hmac_with(EC_PEM, kid="ec"),
    "HMAC with nothing": hmac_with(b""),
    "HS384 with the public key": hmac_with(PEM, "HS384"),
    "HS512 with the public key": hmac_with(PEM, "HS512"),
}
TYP: Tokens = {
    "an ID token": signed({**HEADER, "typ": "JWT"}, {**CLAIMS, "aud": "client-1", "nonce": "n", "azp": "client-1"}),
    "an ID token for our audience": signed({**HEADER, "typ": "JWT"}, CLAIMS),
    "a refresh token": signed({**HEADER, "typ": "rt+jwt"}, CLAIMS),
    "a refresh token, as Keycloak writes it": signed({**HEADER, "typ": "Refresh"}, CLAIMS),
    "a connection ticket": signed(TICKET_HEADER, TICKET),
    "a logout token": signed({**HEADER, "typ": "logout+jwt"}, CLAIMS),
    "an introspection answer": signed({**HEADER, "typ": "token-introspection+jwt"}, CLAIMS),
    "a security event": signed({**HEADER, "typ": "secevent+jwt"}, CLAIMS),
    "a proof of possession": signed({**HEADER, "typ": "dpop+jwt"}, CLAIMS),
    "typ missing": token(typ=None),
    "typ null": signed({**HEADER, "typ": None}, CLAIMS),
    "typ empty": token(typ=""),
    "typ a list": token(typ=["at+jwt"]),
    "typ a number": token(typ=1),
    "typ with a space": token(typ="at+jwt "),
    "typ longer": token(typ="at+jwtx"),
    "typ of another tree": token(typ="text/at+jwt"),
    "typ with a look-alike": token(typ="\N{CYRILLIC SMALL LETTER A}t+jwt"),
}
EXTENSION: Tokens = {
    "crit": token(crit=["exp"], exp=NOW),
    "crit empty": token(crit=[]),
    "crit null": signed({**HEADER, "crit": None}, CLAIMS),
    "crit b64, payload as it is": token(crit=["b64"], b64=False),
    "b64 false without crit": token(b64=False),
    "zip": token(zip="DEF"),
    "zip, really deflated": signed({**HEADER, "zip": "DEF"}, deflated(JSON.encode())),
    "cty, nested": signed({**HEADER, "cty": "JWT"}, token().encode()),
    "cty, not nested": token(cty="JWT"),
}
KID_TYPE: Tokens = {
    "kid a number": token(kid=7),
    "kid null": signed({**HEADER, "kid": None}, CLAIMS),
    "kid true": token(kid=True),
    "kid a list": token(kid=["rsa"]),
    "kid an object": token(kid={"rsa": 1}),
}
KID_UNKNOWN: Tokens = {
    "kid unknown": token(kid="other"),
    "kid empty": token(kid=""),
    "kid missing where there are several keys": token(kid=None),
    "kid in another case": token(kid="RSA"),
    "kid with a space": token(kid="rsa "),
    "kid with a NUL": token(kid="rsa\x00"),
    "kid as a path": token(kid="../../../../dev/null"),
    "kid as a path to a known file": token(kid="/proc/sys/kernel/randomize_va_space"),
    "kid as SQL": token(kid="x' UNION SELECT 'key' --"),
    "kid as a shell command": token(kid="rsa; sleep 10"),
    "kid as an address": token(kid="https://evil.example/key"),
    "kid of 2 KB": token(kid="k" * 2048),
    "kid as a number's text": token(kid="0"),
    "embedded jwk and its kid": signed({**HEADER, "kid": "stranger", "jwk": STRANGE_JWK}, CLAIMS, STRANGER),
    "jku and its kid": signed({**HEADER, "kid": "stranger", "jku": "https://evil.example/jwks"}, CLAIMS, STRANGER),
    "jku that starts like the issuer": signed(
        {**HEADER, "kid": "stranger", "jku": f"{ISSUER}@evil.example/jwks"}, CLAIMS, STRANGER
    ),
    "x5u and its kid": signed({**HEADER, "kid": "stranger", "x5u": "https://evil.example/c.pem"}, CLAIMS, STRANGER),
    "x5c and its kid": signed({**HEADER, "kid": "stranger", "x5c": [certificate()]}, CLAIMS, STRANGER),
    "embedded jwk without kid": signed({"alg": "RS256", "typ": "at+jwt", "jwk": STRANGE_JWK}, CLAIMS, STRANGER),
}
KEY_ALGORITHM: Tokens = {
    "RS256 by the EC key's name": token(kid="ec"),
    "RS256 by the Ed25519 key's name": token(kid="ed"),
    "ES256 by the RSA key's name": token(key=EC, alg="ES256", kid="rsa"),
    "ES256 by the Ed25519 key's name": token(key=EC, alg="ES256", kid="ed"),
    "EdDSA by the RSA key's name": token(key=ED, alg="EdDSA", kid="rsa"),
    "EdDSA by the EC key's name": token(key=ED, alg="EdDSA", kid="ec"),
}
SIGNATURES: Tokens = {
    "signature stripped": f"{BODY}.",
    "signature truncated by a byte": f"{BODY}.{segment(signature(BODY)[:-1])}",
    "signature truncated by a character": f"{BODY}.{SIGNATURE[:-1]}",
    "signature longer by a byte": f"{BODY}.{segment(signature(BODY) + b'0')}",
    "signature of zeros": f"{BODY}.{segment(bytes(256))}",
    "signature of one": f"{BODY}.{segment(bytes(255) + b'1')}",
    "signature of another token": f"{BODY}.{claims(sub='eve').rpartition('.')[2]}",
    "signature in another spelling": last_character_moved(),
    "signature over the claims alone": f"{BODY}.{segment(signature(segment(CLAIMS)))}",
    "signature with PSS": f"{BODY}.{segment(signature(BODY, RSA, 'PS256'))}",
    "signature with SHA-512": f"{BODY}.{segment(signature(BODY, RSA, 'RS512'))}",
    "payload swapped": f"{BODY.split('.')[0]}.{segment({**CLAIMS, 'sub': 'eve'})}.{SIGNATURE}",
    "header swapped": f"{segment({**HEADER, 'x': 1})}.{segment(CLAIMS)}.{SIGNATURE}",
    "a stranger's key": token(key=STRANGER),
    "a stranger's key, embedded under our kid": signed(
        {**HEADER, "jwk": {**STRANGE_JWK, "kid": "rsa"}}, CLAIMS, STRANGER
    ),
    "a stranger's key at a jku, under our kid": signed({**HEADER, "jku": "https://evil.example"}, CLAIMS, STRANGER),
    "a stranger's certificate, under our kid": signed({**HEADER, "x5c": [certificate()]}, CLAIMS, STRANGER),
    "ES256 of zeros": f"{ES256_BODY}.{segment(bytes(64))}",
    "ES256 of nothing": f"{ES256_BODY}.",
    "ES256 as DER": f"{ES256_BODY}.{segment(der_es256())}",
    "ES256 half": f"{ES256_BODY}.{segment(raw_es256()[:32])}",
    "ES256 halves swapped": f"{ES256_BODY}.{segment(raw_es256()[32:] + raw_es256()[:32])}",
    "ES256 padded with zeros": f"{ES256_BODY}.{segment(bytes(32) + raw_es256())}",
    "ES256 beyond the order": f"{ES256_BODY}.{segment(beyond_the_order())}",
    "EdDSA of zeros": f"{token(key=ED, alg='EdDSA').rpartition('.')[0]}.{segment(bytes(64))}",
    "EdDSA of nothing": f"{token(key=ED, alg='EdDSA').rpartition('.')[0]}.",
}
CLAIMS_JSON: Tokens = {
    "sub twice": payload(JSON[:-1] + ', "sub": "eve"}'),
    "sub twice, once escaped": payload(JSON[:-1] + ', "s\\u0075b": "eve"}'),
    "exp twice": payload(JSON[:-1] + f', "exp": {NOW + 9000}}}'),
    "iss twice": payload(JSON[:-1] + ', "iss": "https://evil.example"}'),
    "a duplicate deep inside": payload(JSON[:-1] + ', "act": {"sub": "a", "sub": "b"}}'),
    "claims not UTF-8": payload(JSON.encode().replace(b"ada", b"\xff\xfe")),
    "claims in Latin-1": payload(JSON.encode().replace(b"ada", b"ad\xe4")),
    "claims in UTF-16": payload(JSON.encode("utf-16")),
    "claims with byte order mark": payload(b"\xef\xbb\xbf" + JSON.encode()),
    "overlong UTF-8": payload(JSON.encode().replace(b"ada", b"\xc1\xa1da")),
    "surrogates in UTF-8": payload(JSON.encode().replace(b"ada", b"\xed\xa0\x80")),
    "a lone surrogate": literal("sub", '"\\ud800"'),
    "surrogates in the wrong order": literal("sub", '"\\udc00\\ud800"'),
    "NaN": literal("exp", "NaN"),
    "Infinity": literal("exp", "Infinity"),
    "minus Infinity": literal("iat", "-Infinity"),
    "exp that overflows a float": literal("exp", "1e400"),
    "exp of 300 digits": literal("exp", "9" * 300),
    "exp over 2^53": literal("exp", str(2**53 + 1)),
    "exp over 64 bits": literal("exp", str(2**64 + NOW)),
    "exp in hexadecimal": literal("exp", hex(NOW)),
    "exp with a leading zero": literal("exp", f"0{NOW + 900}"),
    "exp with a plus": literal("exp", f"+{NOW + 900}"),
    "nested deep": payload(JSON[:-1] + f', "x": {"[" * 500}{"]" * 500}}}'),
    "nested and never closed": payload(JSON[:-1] + ', "x": ' + "[" * 1000),
    "two documents": payload(JSON + JSON),
    "trailing comma": payload(JSON[:-1] + ",}"),
    "a comment": payload("/* ada */" + JSON),
    "single quotes": payload(str(CLAIMS)),
    "a raw line break in a string": literal("sub", '"a\nb"'),
    "a JWT inside": payload(token()),
    "compressed without saying so": payload(deflated(JSON.encode())),
    "no claims at all": f"{(body := segment(HEADER) + '.' + segment(b' '))}.{segment(signature(body))}",
}
CLAIMS_OBJECT: Tokens = {
    "claims a list": payload(f"[{JSON}]"),
    "claims a string": payload('"ada"'),
    "claims a number": payload("1"),
    "claims null": payload("null"),
}
OTHER_ISSUER: Tokens = {
    "iss missing": claims(iss=...),
    "iss null": claims(iss=None),
    "iss empty": claims(iss=""),
    "iss another": claims(iss="https://evil.example"),
    "iss with a trailing slash": claims(iss=f"{ISSUER}/"),
    "iss in another case": claims(iss="https://ISSUER.example"),
    "iss by http": claims(iss="http://issuer.example"),
    "iss with a port": claims(iss=f"{ISSUER}:443"),
    "iss as user information": claims(iss=f"{ISSUER}@evil.example"),
    "iss as a beginning": claims(iss=f"{ISSUER}.evil.example"),
    "iss with a space": claims(iss=f"{ISSUER} "),
    "iss a list": claims(iss=[ISSUER]),
    "iss a list of two": claims(iss=["https://evil.example", ISSUER]),
    "iss an object": claims(iss={ISSUER: 1}),
    "iss a number": claims(iss=0),
    "iss with a look-alike": claims(iss="https://\N{CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I}ssuer.example"),
}
OTHER_AUDIENCE: Tokens = {
    "aud missing": claims(aud=...),
    "aud null": claims(aud=None),
    "aud empty": claims(aud=""),
    "aud another": claims(aud="other"),
    "aud the client id": claims(aud="web"),
    "aud longer": claims(aud="agentsocket2"),
    "aud a part": claims(aud="agent"),
    "aud in another case": claims(aud="AgentSocket"),
    "aud joined by commas": claims(aud="other,agentsocket"),
    "aud joined by spaces": claims(aud="other agentsocket"),
    "aud an empty list": claims(aud=[]),
    "aud a list without ours": claims(aud=["other"]),
    "aud a nested list": claims(aud=[["agentsocket"]]),
    "aud a list with null": claims(aud=["agentsocket", None]),
    "aud a list with a number": claims(aud=[0, "agentsocket"]),
    "aud an object": claims(aud={"agentsocket": 1}),
    "aud a number": claims(aud=0),
    "aud true": claims(aud=True),
}
SUBJECT: Tokens = {
    "sub missing": claims(sub=...),
    "sub null": claims(sub=None),
    "sub empty": claims(sub=""),
    "sub of 256 bytes": claims(sub="x" * 256),
    "sub of 86 characters and 258 bytes": claims(sub="\u20ac" * 86),
    "sub a number": claims(sub=7),
    "sub true": claims(sub=True),
    "sub a list": claims(sub=["ada"]),
    "sub an object": claims(sub={"ada": 1}),
}
SERVICE: Tokens = {
    "a service's sub": claims(sub="client:reports"),
    "a service's sub without a name": claims(sub="client:"),
}
SESSION: Tokens = {
    "sid a number": claims(sid=1),
    "sid null": claims(sid=None),
    "sid a list": claims(sid=["s"]),
    "sid of 256 bytes": claims(sid="s" * 256),
}
SCOPE: Tokens = {
    "scope a list": claims(scope=["chat"]),
    "scope null": claims(scope=None),
    "scope an object": claims(scope={"chat": 1}),
    "scope with a no-break space": claims(scope="chat\u00a0admin"),
    "scope with a line break": claims(scope="chat\nadmin"),
    "scope with a NUL": claims(scope="chat\x00"),
    "scope with a quotation mark": claims(scope='chat"admin'),
    "scope with a look-alike": claims(scope="\u0441hat"),
}
TIMES: Tokens = {
    "exp missing": claims(exp=...),
    "exp null": claims(exp=None),
    "exp a string": claims(exp=str(NOW + 900)),
    "exp an empty string": claims(exp=""),
    "exp a float": claims(exp=NOW + 900.0),
    "exp a float with a fraction": claims(exp=NOW + 900.5),
    "exp with an exponent": literal("exp", "1.9e9"),
    "exp true": claims(exp=True),
    "exp a list": claims(exp=[NOW + 900]),
    "exp an object": claims(exp={"$gt": 0}),
    "iat missing": claims(iat=...),
    "iat null": claims(iat=None),
    "iat a string": claims(iat=str(NOW)),
    "iat a float": claims(iat=NOW - 0.5),
    "iat false": claims(iat=False),
    "iat negative": claims(iat=-1),
    "nbf null": claims(nbf=None),
    "nbf a string": claims(nbf="0"),
    "nbf a float": claims(nbf=0.0),
    "nbf true": claims(nbf=True),
}
BACKWARDS: Tokens = {
    "exp zero": claims(exp=0),
    "exp negative": claims(exp=-1),
    "exp very negative": claims(exp=-(2**53)),
    "exp at iat": claims(exp=CLAIMS["iat"]),
    "iat after exp": claims(iat=NOW + 900, exp=NOW + 899),
    "iat of the far future, exp of now": claims(iat=NOW + 10**9),
}
EXPIRED: Tokens = {
    "expired": claims(exp=NOW - 30, iat=NOW - 930),
    "expired long ago": claims(iat=1, exp=2),
    "expired, iat of zero": claims(iat=0, exp=NOW - 3600),
}
NOT_YET: Tokens = {
    "iat in 31 seconds": claims(iat=NOW + 31),
    "iat of the far future": claims(iat=NOW + 10**9, exp=NOW + 10**9 + 900),
    "iat at the end of integers": claims(iat=2**53 - 900, exp=2**53),
    "iat in milliseconds": claims(iat=NOW * 1000, exp=(NOW + 900) * 1000),
    "nbf in 31 seconds": claims(nbf=NOW + 31),
    "nbf of the far future": claims(nbf=2**53),
}
LIFETIME: Tokens = {
    "a life of a day and a second": claims(exp=CLAIMS["iat"] + 86_401),
    "a life of a hundred years": claims(exp=NOW + 100 * 365 * 86_400),
    "exp of 2^53": claims(exp=2**53),
    "exp at the end of 32 bits": claims(exp=2**32),
    "exp in milliseconds": claims(exp=(NOW + 900) * 1000),
    "iat of zero": claims(iat=0),
}

BAD: dict[str, Tokens] = {
    "the token is no compact JWS, or longer than max_token_bytes": SHAPE,
    "the header is not base64url": HEADER_BASE64,
    "the header must be strict JSON": HEADER_JSON,
    "the header must be a JSON object": HEADER_OBJECT,
    "alg must be RS256, ES256 or EdDSA": ALGORITHM,
    "typ names another kind of token": TYP,
    "the header demands an extension": EXTENSION,
    "kid must be text": KID_TYPE,
    "no key of the issuer has the token's kid": KID_UNKNOWN,
    "the token's algorithm is not its key's": KEY_ALGORITHM,
    "the signature does not verify": SIGNATURES,
    "the claims must be strict JSON": CLAIMS_JSON,
    "the claims must be a JSON object": CLAIMS_OBJECT,
    "iss is not the issuer that this deployment trusts": OTHER_ISSUER,
    "aud does not name this deployment's audience": OTHER_AUDIENCE,
    "sub must be 1 to 255 bytes of text": SUBJECT,
    "the token is a service's, not a user's": SERVICE,
    "sid must be at most 255 bytes of text": SESSION,
    "scope must be names with spaces between them": SCOPE,
    "iat, exp and nbf must be whole seconds": TIMES,
    "exp must be later than iat": BACKWARDS,
    "the token has expired": EXPIRED,
    "the token is not valid yet": NOT_YET,
    "exp is further after iat than such a token may live": LIFETIME,
}
