#!/usr/bin/python3
"""A local server that plays the APIs of apigouv_fdw on made-up data.

    python3 apigouv_stub.py --port 0 --port-file FILE [--structures N] [--latency MS] [--seed S] [--strict]
                            [--limit-factor N] [--exchanges DIR]...

README.md lists the addresses, the credentials, the data that tests can rely on
and the controls under /_stub/.  Standard library only; listens on 127.0.0.1 only.
"""

import argparse
import asyncio
import gc
import os
import signal
import sys
import uuid

from control import APIS, Control, api_path
from data_inclusion import DataInclusion
from entreprise import Entreprise
from exchanges import Exchanges
from httpd import Response, Server
from marche_inclusion import MarcheInclusion
from marche_travail import MarcheTravail
from particulier import Particulier
from strict import Strict


class Stub:
    """Routes each request to the control or to its API, past faults and replays."""

    def __init__(self, args):
        self.exchanges = Exchanges(args.exchanges)
        self.apis = {
            "marche_inclusion": MarcheInclusion(args.structures, args.seed),
            "data_inclusion": DataInclusion(args.structures, args.seed),
            "entreprise": Entreprise(args.structures, args.seed, args.strict, args.limit_factor,
                                     self.exchanges),
            "marche_travail": MarcheTravail(args.seed, args.strict, args.metiers, args.limit_factor, self.exchanges),
            "particulier": Particulier(args.strict, args.limit_factor, self.exchanges),
        }
        datasets = {name: api for name, api in self.apis.items() if hasattr(api, "plan_change")}
        self.control = Control(args.latency, datasets)
        for api in self.apis.values():
            api.control = self.control
            self.control.on_reset.append(api.reset)
        self.control.strict = Strict(self.control, self.whose)
        self.control.on_reset.append(self.control.strict.reset)
        self.server = Server(self.answer)
        self.server.gate = self.gate
        self.trap = Server(self.answer_trap)
        self.control.on_reset.append(self.server.drop_stalled)

    def gate(self, request, read_at):
        """When a request arrives, if strict counting wants to know."""
        return self.control.strict.date(request.path.lstrip("/").partition("/")[0], read_at)

    def whose(self, name, request):
        """Who a request's credentials belong to: a name of tokens.py, empty when there is none."""
        api = self.apis[name]
        if hasattr(api, "whose"):
            return api.whose(request)
        return api.tokens.get(request.header("authorization").partition(" ")[2], ("",))[0]

    def answer(self, request):
        if request.path.startswith("/_stub/"):
            return self.control.handle(request)
        name = request.path.split("/", 2)[1]
        if name not in APIS:
            return Response(404, b"no such API here\n", "text/plain")
        path = api_path(name, request.path)
        entry = self.control.enter(name, path, request, self.whose(name, request))
        refusal, headers = self.control.strict.count(name, path, request)
        fault = None if refusal else self.control.fault_for(name, path, request.method)
        if refusal is not None:
            response = refusal
        elif fault is not None:
            entry["fault"] = True
            response = self.control.apply_fault(fault, lambda: self.real(name, path, request))
        else:
            response = self.real(name, path, request)
        self.control.strict.finish(response, headers)
        response.delay_ms += self.control.latency_ms
        if not response.has_header("x-request-id"):
            ident = request.header("x-request-id") or str(uuid.UUID(int=len(self.control.log)))
            response.headers.append(("X-Request-Id", ident))
        self.control.leave(entry, response)
        return response

    def real(self, name, path, request):
        return self.control.replay_for(name, path, request) or self.apis[name].answer(path, request)

    def answer_trap(self, request):
        """Another origin, where a redirect leads: nobody should come here."""
        entry = self.control.enter("trap", request.path, request)
        response = Response(200, b"{}", "application/json")
        self.control.leave(entry, response)
        return response


def whole_number(text):
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def arguments(argv):
    parser = argparse.ArgumentParser(description="local API server of apigouv_fdw")
    parser.add_argument("--port", type=whole_number, default=0)
    parser.add_argument("--port-file", help="written when the server is ready")
    parser.add_argument("--structures", type=whole_number, default=1000)
    parser.add_argument("--metiers", type=whole_number, default=0, help="made-up ROME jobs beside the named ones")
    parser.add_argument("--latency", type=float, default=0, metavar="MS")
    parser.add_argument("--seed", type=whole_number, default=1)
    parser.add_argument("--strict", action="store_true", help="enforce the documented limits")
    parser.add_argument("--limit-factor", type=whole_number, default=1, metavar="N",
                        help="limits are the documented ones times N, in headers too")
    parser.add_argument("--exchanges", action="append", default=[], metavar="DIR",
                        help="a folder of exchanges beside test/fixtures/exchanges, see exchanges.py")
    return parser.parse_args(argv)


async def serve(args):
    gc.disable()
    stub = Stub(args)
    gc.freeze()           # the data never go away: no need to walk them again
    gc.enable()
    gc.set_threshold(50000)
    port = await stub.server.listen(args.port)
    trap_port = await stub.trap.listen(0)
    stub.control.trap_url = f"http://127.0.0.1:{trap_port}/elsewhere"
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as out:
            out.write(f"{port}\n")
        os.replace(args.port_file + ".new", args.port_file)
    else:
        print(f"http://127.0.0.1:{port}", flush=True)
    await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(arguments(sys.argv[1:])))
