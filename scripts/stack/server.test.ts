import assert from "node:assert/strict";
import { withCors } from "./cors.ts";
import { bodyLimit, listen } from "./server.ts";

Deno.test("the server answers 503 until it is opened, then its routes", async () => {
  const server = listen(0);
  const url = `http://127.0.0.1:${server.port}`;
  const get = async (path: string) => {
    const response = await fetch(url + path);
    return [response.status, await response.text()] as const;
  };
  assert.equal((await get("/health"))[0], 503);
  server.open([
    { prefix: "/a/", fetch: () => Promise.resolve(new Response("a")) },
    { prefix: "/b/", fetch: () => Promise.reject(new Error("secret")) },
  ]);
  const errors = console.error;
  console.error = () => {};
  assert.deepEqual(await get("/a/x"), [200, "a"]);
  assert.equal((await get("/c"))[0], 404);
  const [status, body] = await get("/b/x");
  assert.equal(status, 500);
  assert.ok(!body.includes("secret"));
  console.error = errors;
  await server.close();
});

Deno.test("a request body over the limit is refused, however it is sent", async () => {
  const server = listen(0);
  server.open([{
    prefix: "/",
    fetch: async (request) => new Response(String((await request.bytes()).length)),
  }]);
  const url = `http://127.0.0.1:${server.port}/x`;
  const send = async (body: BodyInit) => {
    const response = await fetch(url, { method: "POST", body });
    return [response.status, await response.text()] as const;
  };
  assert.deepEqual(await send(new Uint8Array(bodyLimit)), [200, String(bodyLimit)]);
  assert.equal((await send(new Uint8Array(bodyLimit + 1)))[0], 413);
  const streamed = ReadableStream.from([new Uint8Array(bodyLimit), new Uint8Array(1)]);
  assert.equal((await send(streamed))[0], 413);
  await server.close();
});

Deno.test("a method that fetch() does not have is refused", async () => {
  const server = listen(0);
  server.open([{ prefix: "/", fetch: () => Promise.resolve(new Response("a")) }]);
  for (const [method, status] of [["GET", 200], ["TRACE", 405], ["get", 405], ["ODD", 405]]) {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    const head = `${method} /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    const answer = await new Response(connection.readable).text();
    assert.equal(Number(answer.split(" ")[1]), status, String(method));
  }
  await server.close();
});

Deno.test("withCors() answers a preflight itself and opens every answer to any origin", async () => {
  const fetch = withCors(() => Promise.resolve(new Response("no", { status: 404 })));
  const preflight = await fetch(
    new Request("http://localhost/rest/v1/rpc/f", {
      method: "OPTIONS",
      headers: {
        "access-control-request-method": "POST",
        "access-control-request-headers": "apikey,content-type",
      },
    }),
  );
  assert.equal(preflight.status, 204);
  assert.equal(preflight.headers.get("access-control-allow-headers"), "apikey,content-type");
  const answer = await fetch(new Request("http://localhost/rest/v1/t"));
  assert.equal(answer.status, 404);
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
});
