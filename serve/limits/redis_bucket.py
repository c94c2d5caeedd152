"""Token buckets in Redis, shared by all replicas; while Redis fails, each replica has its own.

The arithmetic is that of ``bucket``, in one script that Redis runs as one step. Its numbers are doubles, whole and exact below 2**53:
for bursts up to 150,000,000.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from serve.limits.bucket import Buckets, Taken

CONNECTIONS = 32  # at most; a call takes well below a millisecond, so few are ever busy

# The time is Redis's own, so that the replicas' clocks do not matter. A clock set back gives no tokens and takes none. The key lives until
# the bucket is full again. A test may give another time as the fourth argument; its keys live for a minute, for Redis does not know when.
TAKE = """
local TOKEN = 60000000
local tokens, per_minute, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local function wait(units)
  local rest = units % per_minute
  return (units - rest) / per_minute + (rest > 0 and 1 or 0)
end
local units = 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local owed, at = string.match(kept, '^(%d+) (%d+)$')
  units = math.max(0, tonumber(owed) - math.max(0, now - tonumber(at)) * per_minute)
end
local wanted, size = tokens * TOKEN, burst * TOKEN
local allowed, retry_after = units + wanted <= size, 0
if allowed then
  units = units + wanted
elseif tokens <= burst then
  retry_after = wait(units + wanted - size)
else
  retry_after = -1
end
if units > 0 then
  local lives = ARGV[4] and 60000 or math.ceil(wait(units) / 1000)
  redis.call('SET', KEYS[1], string.format('%.0f %.0f', units, now), 'PX', lives)
elseif kept then
  redis.call('DEL', KEYS[1])
end
local left = math.max(0, size - units)
local remaining = (left - left % TOKEN) / TOKEN
local more = 0
if units > 0 then
  more = wait(units - size + (remaining + 1) * TOKEN)
end
return {allowed and 1 or 0, retry_after, remaining, more}
"""
_DIGEST = hashlib.sha1(TAKE.encode(), usedforsecurity=False).hexdigest()


class RedisBuckets:
    """The buckets of all replicas.

    Redis is asked for ``timeout_s`` at most. When it fails, this and all calls of the next ``pause_s`` are answered from buckets of
    this process, which are full at first; then one call asks again, and the first answer ends it. Each call answered here is told to
    ``on_fallback`` with the name of the error. ``trouble`` is that name while Redis fails, else None.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "rate:",
        timeout_s: float = 0.1,
        pause_s: float = 1.0,
        on_fallback: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        redis_clock_us: Callable[[], int] | None = None,
    ) -> None:
        """Connect when first asked; ``redis_clock_us`` replaces Redis's own clock, in tests."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),  # a limit is not worth asking twice for
        )
        self._redis = Redis.from_pool(pool)
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._on_fallback = on_fallback
        self._clock = clock
        self._redis_clock_us = redis_clock_us
        self._local = Buckets()
        self._not_before = -math.inf
        self.trouble: str | None = None

    async def take(self, client_id: str, tokens: int = 1, *, per_minute: int, burst: int) -> Taken:
        """Take tokens from a client's bucket, all or none: it holds ``burst``, and ``per_minute`` come back each minute."""
        if tokens < 1 or per_minute < 1 or burst < 1:
            raise ValueError("tokens, per_minute and burst are 1 or more")
        now = self._clock()
        if now >= self._not_before:
            if self.trouble:
                self._not_before = now + self._pause_s  # one asks, the others do not wait with it
            try:
                async with asyncio.timeout(self._timeout_s):  # over all: the Redis client's own bound holds for each step alone
                    allowed, retry_after_us, remaining, more_us = await self._ask(client_id, tokens, per_minute, burst)
            except (RedisError, OSError, TimeoutError) as error:
                self.trouble = type(error).__name__
                self._not_before = self._clock() + self._pause_s
            else:
                self.trouble, self._not_before = None, -math.inf
                return Taken(bool(allowed), retry_after_us / 1e6 if retry_after_us >= 0 else math.inf, remaining, more_us / 1e6)
        self._on_fallback(self.trouble or "")
        return self._local.take_now(client_id, tokens, per_minute=per_minute, burst=burst)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _ask(self, client_id: str, tokens: int, per_minute: int, burst: int) -> tuple[int, int, int, int]:
        key, arguments = self._prefix + client_id, [str(tokens), str(per_minute), str(burst)]
        if self._redis_clock_us is not None:
            arguments.append(str(self._redis_clock_us()))
        try:
            answer = await self._redis.evalsha(_DIGEST, 1, key, *arguments)
        except NoScriptError:  # Redis is new or was restarted; from now on it knows the script
            answer = await self._redis.eval(TAKE, 1, key, *arguments)
        allowed, retry_after_us, remaining, more_us = map(int, answer)
        return allowed, retry_after_us, remaining, more_us
