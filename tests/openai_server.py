"""A stand-in for a server of OpenAI's API, on loopback: no model, the same trace for every prompt, faults on demand.

It is for what a real server does rarely: refuse, hang, break off, answer rubbish. What vLLM's own server answers is
tested with vLLM's own server.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "stand-in"
TRACE = (
    "The note tells of pressure in the chest that woke the patient and would not go away for two hours. She was pale"
    " and sweating, her heart was fast and her pressure low, and both lungs had crackles at their bases. Other"
    " explanations remain possible; none of them would account for all of this at once, so I settle on the heart."
)

Fault = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class StandIn:
    """What the server does, and what it was asked."""

    owned_by: str = "vllm"
    max_model_len: int | None = None
    faults: list[Fault] = field(default_factory=list)
    """Taken from the front, one for each request for a completion, until none is left."""
    always: Fault | None = None
    """In place of any answer."""
    always_chat: Fault | None = None
    """In place of any completion; the list of models is given as usual."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    delay: float = 0.0
    template: str = ""
    """Its chat template, in Jinja; it then renders and detokenizes chats as vLLM does."""
    loses: str = ""
    """A character that its tokenizer drops."""
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def models(self) -> dict[str, Any]:
        return {"data": [{"id": MODEL, "owned_by": self.owned_by, "max_model_len": self.max_model_len}]}

    def render(self, body: dict[str, Any]) -> dict[str, Any]:
        """What vLLM's /tokenize answers, with characters for tokens; raises what the template raises."""
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def raise_exception(message: str) -> None:
            raise ValueError(message)

        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = datetime.now().astimezone().strftime
        names = {"messages": body["messages"], "add_generation_prompt": body["add_generation_prompt"]}
        text = environment.from_string(self.template).render(**names, **body["chat_template_kwargs"])
        if body["continue_final_message"]:
            last = body["messages"][-1]["content"]
            text = text[: text.rindex(last.strip()) + len(last.strip())] + last[len(last.rstrip()) :]
        return {"tokens": [ord(character) for character in text if character != self.loses]}

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = " ".join(message["content"] for message in body["messages"])
        named = re.search(r"Write the code as (\w+)\.", prompt)
        text = f"{TRACE}\n</think>\n<diagnosis>{named.group(1) if named else 'R69'}</diagnosis>"
        if not body.get("continue_final_message"):
            text = f"<think>\n{text}"
        if "response_format" in body:
            text = json.dumps({"why": "It follows from the note.", "score": 4})
        usage = {"prompt_tokens": 900, "completion_tokens": 80, "prompt_tokens_details": {"cached_tokens": 600}}
        return {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}


def status(code: int, body: str = "{}", headers: dict[str, str] | None = None) -> Fault:
    """Answer with this status."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        _send(handler, code, body, headers)

    return fault


def answer(stand_in: StandIn, handler: BaseHTTPRequestHandler) -> None:
    """What it answers without a fault."""
    _send(handler, 200, json.dumps(stand_in.completion(stand_in.asked[-1])))


def hang(seconds: float) -> Fault:
    return lambda handler: time.sleep(seconds)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
    handler.close_connection = True


def _send(handler: BaseHTTPRequestHandler, code: int, body: str, headers: dict[str, str] | None = None) -> None:
    data = body.encode()
    handler.send_response(code)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        **(headers or {}),
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def openai_server(**settings: Any) -> Iterator[StandIn]:
    """A server that runs while the block does."""
    stand_in = StandIn(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/v1/models" and stand_in.always is None:
                _send(self, 200, json.dumps(stand_in.models()))
            elif self.path == "/openapi.json" and stand_in.template:
                _send(self, 200, '{"paths": {"/tokenize": {}, "/detokenize": {}}}')
            elif self.path == "/version":
                _send(self, 200, '{"version": "0.27.1"}')
            else:
                (stand_in.always or status(404))(self)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/detokenize":
                _send(self, 200, json.dumps({"prompt": "".join(map(chr, body["tokens"]))}))
                return
            if self.path == "/tokenize":
                try:
                    _send(self, 200, json.dumps(stand_in.render(body)))
                except ValueError as error:
                    _send(self, 400, json.dumps({"error": {"message": str(error), "code": 400}}))
                return
            with stand_in.lock:
                stand_in.asked.append(body)
                stand_in.headers.append(dict(self.headers))
                stand_in.at_once += 1
                stand_in.most_at_once = max(stand_in.most_at_once, stand_in.at_once)
                fault = stand_in.always or (stand_in.faults.pop(0) if stand_in.faults else stand_in.always_chat)
            time.sleep(stand_in.delay)
            try:
                if fault:
                    fault(self)
                else:
                    _send(self, 200, json.dumps(stand_in.completion(body)))
            finally:
                with stand_in.lock:
                    stand_in.at_once -= 1

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield stand_in
    finally:
        server.shutdown()
        server.server_close()
