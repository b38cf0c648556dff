/** The receivers of the guide, run as they stand there, get deliveries of the running stack. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { stop, transform } from "esbuild";
import { buildClient } from "../../scripts/building/client/package.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import { createOrganization, liftLimits, signUp } from "../support.ts";
import { createBulwark, supabaseWith } from "./support.ts";

const scratch = await makeScratchFolder("recipes");
const { consumer } = await buildClient(scratch.path);
const guide = await Deno.readTextFile(inRepository("docs", "client.md"));
const [fetching = "", several = "", express = ""] = [...guide.matchAll(/```ts\n([^]*?)```/g)]
  .map(([, text = ""]) => text)
  .filter((text) => text.includes("receive") || text.includes("express"));
/** The part of a block below a comment that begins with a name. */
const below = (name: string) => {
  const part = several.split(/^\/\/ /m).find((text) => text.startsWith(name));
  assert.ok(part, name);
  return part.slice(part.indexOf("\n"));
};

/** Node's own server with a handler of the Fetch API, as Next and Hono's adapter have. */
const onNode = (handler: string) => `
  import { createServer } from "node:http";
  createServer(async (incoming, outgoing) => {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const { url, method, headers } = incoming;
    const body = method === "POST" ? Buffer.concat(chunks) : undefined;
    const request = new Request(new URL(url, "http://localhost"), { method, headers, body });
    const answer = await (${handler})(request);
    outgoing.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
  }).listen(port, "127.0.0.1");`;
const nodePrologue = `const { SECRET: secret, PORT: port } = process.env;`;

const recipes: Record<string, { runtime: "node" | "deno"; program: string }> = {
  Deno: {
    runtime: "deno",
    program: `const secret = Deno.env.get("SECRET");` +
      fetching + below("Deno").replace("serve(", `serve({ port: +Deno.env.get("PORT") }, `),
  },
  Bun: {
    runtime: "node",
    program: nodePrologue + fetching + below("Bun").replace("export default", "const served =") +
      onNode("served.fetch"),
  },
  Next: { runtime: "node", program: nodePrologue + fetching + below("Next") + onNode("POST") },
  Hono: {
    runtime: "node",
    program: nodePrologue + fetching + below("Hono") + onNode("app.fetch"),
  },
  Express: {
    runtime: "node",
    program: nodePrologue + express +
      `import { verifyWebhook, WebhookRefused } from "@bulwark/client/webhooks";
      server.listen(port, "127.0.0.1");`,
  },
};

await liftLimits();
const ada = await signUp("ada");
const organization = await createOrganization(ada);
const bulwark = createBulwark(supabaseWith(ada.token), { throwOnError: true });

for (const [name, { runtime, program }] of Object.entries(recipes)) {
  Deno.test(`CLIENT-E09: ${name} accepts a delivery and refuses it altered, by the guide's recipe`, async () => {
    const [inner, outer] = [freePort(), freePort()];
    const got: { headers: Headers; body: string; status: number }[] = [];
    const forward = (headers: Headers, body: string) =>
      fetch(`http://127.0.0.1:${inner}/hooks`, { method: "POST", headers, body });
    await using _between = Deno.serve(
      { hostname: "127.0.0.1", port: outer, onListen() {} },
      async (request) => {
        const { headers } = request;
        const body = await request.text();
        const { status } = await forward(headers, body);
        got.push({ headers, body, status });
        return new Response(null, { status });
      },
    );
    const { id, secret } = await bulwark.webhooks.create({
      organization_id: organization,
      name,
      url: `http://127.0.0.1:${outer}/hooks`,
      subscriptions: [{ pattern: "security.*" }],
    });
    const file = join(consumer, `${name.toLowerCase()}.mjs`);
    const acted = `async function act(payload) { console.log(payload.id); }`;
    await Deno.writeTextFile(file, (await transform(program + acted, { loader: "ts" })).code);
    await using server = await serve(runtime, file, inner, secret);
    await bulwark.webhooks.test(id);
    // The worker may have been first, and answers later.
    for (let attempt = 0; got.length === 0 && attempt < 400; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    const [genuine] = got;
    assert.equal(genuine?.status, 204);
    const { headers, body } = genuine;
    const altered = body.replace(/[0-8]/, (digit) => String(Number(digit) + 1));
    assert.equal((await forward(headers, altered)).status, 401);
    const unsigned = new Headers(headers);
    unsigned.delete("webhook-signature");
    assert.equal((await forward(unsigned, body)).status, 401);
    await bulwark.webhooks.delete(id);
    const handled = (await server.stop()).trim().split("\n");
    assert.deepEqual(handled, [headers.get("webhook-id")], "acted once, on the genuine one");
  });
}

Deno.test.afterAll(async () => {
  await stop();
  await scratch.remove();
});

function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

/** Runs a server until it answers. */
async function serve(runtime: "node" | "deno", file: string, port: number, secret: string) {
  const [program, ...args] = runtime === "node"
    ? ["node", file]
    : [Deno.execPath(), "run", "--no-check", "--allow-net", "--allow-env", file];
  const child = new Deno.Command(program!, {
    args,
    env: { SECRET: secret, PORT: String(port) },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  for (let attempt = 0;; attempt++) {
    const answers = await fetch(`http://127.0.0.1:${port}/`)
      .then((answer) => Boolean(answer.body?.cancel()), () => false);
    if (answers) break;
    assert.ok(attempt < 200, "the server does not answer");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  let output: Promise<string> | undefined;
  const end = () => {
    if (!output) {
      output = new Response(child.stdout).text();
      child.kill("SIGTERM");
    }
    return output;
  };
  return {
    stop: end,
    async [Symbol.asyncDispose]() {
      await end();
      await child.status;
    },
  };
}
