import asyncio
import json

import httpx2
import openai
import pytest
from tenacity import wait_none

from orchestrator.llm import OpenAIChat, Reply, Request, Turn, openai_client
from orchestrator.retrying import Retrying
from orchestrator.schema import Failure, FailureKind
from orchestrator.testing import FaultyLLM, scripted_server

REQUEST = Request(
    model="m",
    model_digest="d",
    turns=(Turn(role="user", content="hello"),),
    answer_schema={"type": "object"},
    max_tokens=16,
    top_logprobs=5,
)


def chat(handler) -> OpenAIChat:
    client = openai.AsyncOpenAI(
        base_url="http://test/v1", api_key="k", max_retries=0, http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handler))
    )
    return OpenAIChat(client, deadline_s=5)


def completion(content="{}", finish="stop", refusal=None):
    message = {"role": "assistant", "content": content, "refusal": refusal}
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }  # fmt: skip


def answer(handler):
    return asyncio.run(chat(handler)(REQUEST))


def test_the_request_goes_out_in_the_openai_protocol():
    seen = {}

    def handler(request):
        seen.update(json.loads(request.content))
        return httpx2.Response(200, json=completion())

    reply = answer(handler)
    assert isinstance(reply, Reply)
    assert reply.usage.input_tokens == 3
    assert seen["max_completion_tokens"] == 16
    assert seen["logprobs"] is True
    assert seen["top_logprobs"] == 5
    assert seen["response_format"]["json_schema"]["strict"] is True
    assert seen["temperature"] == 0


FAULTS = [
    (httpx2.Response(429, json={"error": {"message": "slow down", "code": "rate_limit_exceeded"}}), FailureKind.RATE_LIMITED),
    (httpx2.Response(429, json={"error": {"message": "no money", "code": "insufficient_quota"}}), FailureKind.QUOTA),
    (httpx2.Response(500, json={"error": {"message": "oops"}}), FailureKind.SERVER),
    (httpx2.Response(401, json={"error": {"message": "who are you"}}), FailureKind.REJECTED),
    (httpx2.Response(200, content=b"<html>"), FailureKind.SERVER),
    (httpx2.Response(200, json={"choices": []}), FailureKind.SERVER),
    (httpx2.Response(200, json=completion(finish="length", content='{"category":"')), FailureKind.TRUNCATED),
    (httpx2.Response(200, json=completion(refusal="I cannot")), FailureKind.REFUSED),
    (httpx2.Response(200, json=completion(finish="content_filter")), FailureKind.REFUSED),
]


def raises(error):
    def handler(_):
        raise error

    return handler


@pytest.mark.parametrize(("response", "kind"), FAULTS)
def test_every_fault_is_a_failure_of_its_kind(response, kind):
    failure = answer(lambda _: response)
    assert isinstance(failure, Failure)
    assert failure.kind == kind


def test_a_later_call_is_the_first_one_again_with_another_body():
    sent = []

    def handler(request):
        sent.append((request.method, request.url, request.headers.multi_items(), request.content, request.extensions))
        return httpx2.Response(200, json=completion())

    async def twice(llm):
        return await llm(REQUEST), await llm(REQUEST), await llm(REQUEST.model_copy(update={"model": "another"}))

    asyncio.run(twice(chat(handler)))
    assert sent[0] == sent[1]
    assert json.loads(sent[2][3])["model"] == "another"


@pytest.mark.parametrize(
    "fault",
    [
        *((lambda _, response=response: response) for response, _ in FAULTS),
        lambda _: httpx2.Response(302, headers={"location": "http://test/elsewhere"}),
        lambda _: httpx2.Response(529, text="busy", headers={"retry-after": "7"}),
        *(raises(error) for error in (httpx2.ConnectError("refused"), httpx2.ReadTimeout("late"), httpx2.RemoteProtocolError("cut"))),
    ],
)
def test_a_fault_of_a_later_call_is_the_same_failure_as_of_the_first(fault):
    asked = []

    def well_once(request):
        asked.append(request)
        return httpx2.Response(200, json=completion()) if len(asked) == 1 else fault(request)

    async def second(llm):
        assert isinstance(await llm(REQUEST), Reply)
        return await llm(REQUEST)

    assert asyncio.run(second(chat(well_once))) == answer(fault)


def test_a_server_that_is_not_there_is_a_connection_failure():
    async def go():
        llm = OpenAIChat(openai_client(base_url="http://127.0.0.1:9/v1", api_key="k"), deadline_s=5)
        try:
            return await llm(REQUEST)
        finally:
            await llm.aclose()

    assert asyncio.run(go()).kind == FailureKind.CONNECTION


def test_the_deadline_bounds_a_server_that_drips():
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(200):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def go():
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        llm = OpenAIChat(openai_client(base_url=url, api_key="k"), deadline_s=0.3)
        started = asyncio.get_running_loop().time()
        failure = await llm(REQUEST)
        took = asyncio.get_running_loop().time() - started
        await llm.aclose()
        server.close()
        return failure, took

    failure, took = asyncio.run(go())
    assert failure.kind == FailureKind.TIMEOUT
    assert took < 3


def test_over_a_real_socket_logprobs_arrive():
    async def go(url):
        llm = OpenAIChat(openai_client(base_url=url, api_key="k"))
        try:
            return await llm(REQUEST)
        finally:
            await llm.aclose()

    with scripted_server(lambda _: {"A": 0.9, "B": 0.1}) as url:
        reply = asyncio.run(go(url))
    assert reply.tokens[1].text == "A"
    assert len(reply.tokens[1].alternatives) == 2


@pytest.mark.parametrize(
    ("kind", "calls"), [(FailureKind.SERVER, 3), (FailureKind.TIMEOUT, 3), (FailureKind.QUOTA, 1), (FailureKind.REFUSED, 1)]
)
def test_only_passing_failures_are_tried_again(kind, calls):
    faulty = FaultyLLM(kind)
    failure = asyncio.run(Retrying(faulty, attempts=3, wait=wait_none())(REQUEST))
    assert failure.kind == kind
    assert faulty.calls == calls
