"""TLS before another local server: decrypts, and passes the bytes on, both ways.

    python3 tls_front.py PORT PORT_FILE KEY CERTIFICATE[@VERSION]...

A port of 127.0.0.1 for each certificate, all of one key, written to PORT_FILE in their order when all listen. With a
version, such as TLSv1_1, it speaks that one only.
"""

import asyncio
import os
import ssl
import sys


async def carry(reader, writer):
    """Pass bytes on until one side ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(port, port_file, key, *certificates):
    async def serve(reader, writer):
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", int(port))
        await asyncio.gather(carry(reader, to_writer), carry(to_reader, writer))

    servers = []
    for certificate in certificates:
        certificate, _, version = certificate.partition("@")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version:
            # what is old is no longer secure enough for the libraries' own taste
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
        context.load_cert_chain(certificate, key)
        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    with open(port_file + ".part", "w", encoding="ascii") as file:
        file.writelines(f"{server.sockets[0].getsockname()[1]}\n" for server in servers)
    os.rename(port_file + ".part", port_file)
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
