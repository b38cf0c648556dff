import assert from "node:assert/strict";
import {
  causeOf,
  HttpError,
  NoConnection,
  textOf,
} from "../../../../supabase/functions/_bulwark/foundation/redis/cause.ts";

const reply = (message: string) => Object.assign(new Error(message), { name: "ReplyError" });

Deno.test("REDIS-C01: what Redis says opens the breaker where others would be refused too", () => {
  const answers: [thrown: unknown, verdict: string, advice: RegExp][] = [
    [reply("WRONGTYPE Operation against a key"), "answer", /BULWARK_CACHE_PREFIX/],
    [reply("OOM command not allowed when used memory > 'maxmemory'."), "answer", /maxmemory/],
    [reply("MISCONF Redis is configured to save RDB snapshots"), "answer", /disk/],
    [reply("NOPERM this user has no permissions"), "answer", /ACL SETUSER/],
    [reply("ERR value is not a number script: 1, on @user_script:3."), "answer", /bad value/],
    [reply("ERR unknown command 'UNLINK'"), "answer", /version 6/],
    [reply("READONLY You can't write against a read only replica."), "outage", /primary/],
    [reply("MOVED 3999 10.0.0.1:6379"), "outage", /reach all/],
    [reply("CROSSSLOT Keys in request don't hash to the same slot"), "outage", /CLUSTER SLOTS/],
    [reply("CLUSTERDOWN Hash slot not served"), "outage", /replica/],
    [reply("TRYAGAIN Multiple keys request during rehashing of slot"), "answer", /moved/],
    [reply("NOAUTH Authentication required."), "outage", /password/],
    [reply("LOADING Redis is loading the dataset in memory"), "outage", /by itself/],
    [reply("ERR max number of clients reached"), "outage", /maxclients/],
    [reply("ERR max daily request limit exceeded"), "outage", /plan/],
    [new HttpError(400, "WRONGTYPE Operation against a key"), "answer", /PREFIX/],
    [new HttpError(400, "ERR other"), "outage", /console/],
    [new HttpError(404, "not found"), "outage", /UPSTASH_REDIS_REST_URL/],
    [new NoConnection(reply("ERR DB index is out of range")), "outage", /address/],
    [new NoConnection(reply("NOPERM")), "outage", /ACL/],
    [new Error("Connection is closed."), "doubt", /Start Redis/],
    ["text", "outage", /Start Redis/],
  ];
  for (const [thrown, verdict, advice] of answers) {
    const cause = causeOf(thrown);
    assert.equal(cause.verdict, verdict, String(thrown));
    assert.match(cause.advice ?? "", advice);
  }
  assert.deepEqual(causeOf(reply("NOSCRIPT No matching script")), {
    verdict: "answer",
    advice: null,
  });
});

Deno.test("REDIS-C02: its text is one line with the reason, and neither values nor secrets", () => {
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  assert.equal(
    textOf(new NoConnection(new AggregateError([refused])), []),
    "ECONNREFUSED: connect",
  );
  const unknown = "ERR unknown command 'X', with args beginning with: 'key' 'value'";
  assert.equal(textOf(reply(unknown), []), "ERR unknown command 'X'");
  assert.equal(textOf(new HttpError(401, "no\n hunter2."), ["hunter2"]), "HTTP 401: no ***");
  assert.equal(textOf("x".repeat(1000), []).length, 300);
});
