"""aiosmtpd on port 25 of ADDRESS; says in lines of JSON what it accepted. A program of its own.

aiosmtpd_server.py ADDRESS CERTIFICATE KEY
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd import smtp


class Handler:
    """Takes everything but recipients that are called refused."""

    @staticmethod
    def tell(session, what):
        print(json.dumps([session.peer[0], what]), flush=True)

    async def handle_RCPT(self, _server, session, envelope, address, _options):  # pylint: disable=invalid-name
        if address.startswith("refused"):
            return "550 refused"
        envelope.rcpt_tos.append(address)
        self.tell(session, "recipient")
        return "250 OK"

    async def handle_DATA(self, _server, session, _envelope):  # pylint: disable=invalid-name
        self.tell(session, "message")
        return "250 OK"


async def serve():
    smtp.BOGUS_LIMIT = 1000  # it would drop replies to commands that it has executed
    loop = asyncio.get_running_loop()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2], sys.argv[3])

    def make():
        return smtp.SMTP(Handler(), hostname="mx.example", loop=loop, tls_context=tls, auth_require_tls=False,
                         authenticator=lambda *_: smtp.AuthResult(success=True))

    await loop.create_server(make, sys.argv[1], 25, backlog=1000)
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve())
