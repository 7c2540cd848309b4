"""The server's own TLS: a certificate and a key in files, TLS 1.2 and later."""

import os
import ssl

from app.configuration import BadConfiguration
from app.settings import Settings


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the server's TLS files; None without such files.

    Raises:
        BadConfiguration: a file cannot be read, is no PEM file, needs a passphrase, or the key does
            not belong to the certificate.
    """
    certificate, key = settings.tls_certificate_file, settings.tls_key_file
    if certificate is None or key is None:
        return None
    for name, path in (("tls_certificate_file", certificate), ("tls_key_file", key)):
        try:
            path.open("rb").close()
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise BadConfiguration(f"{name}: cannot read the file: {reason}") from None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password="")  # or OpenSSL would ask
    except (ssl.SSLError, ValueError):
        raise BadConfiguration(
            "tls_certificate_file, tls_key_file: these are no PEM files of a certificate and its "
            "key without a passphrase."
        ) from None
    return context
