/** The verifier of exports on Node 20, on Deno and in a browser's worker, with exports of the running stack. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { build, stop } from "esbuild";
import { type ExportVerdict, verifyExport } from "../../clients/js/src/audit.ts";
import { buildClient, run } from "../../scripts/building/client/package.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import {
  acme,
  actAndSign,
  ada,
  bundleOf,
  eve,
  get,
  globex,
  idsIn,
  tamper,
} from "../audit/support.ts";
import { browser, html, javascript, visit } from "../foundation/browser.ts";
import { createBulwark, supabaseWith } from "./support.ts";

const scratch = await makeScratchFolder("client-audit");
const { consumer } = await buildClient(scratch.path);

await actAndSign(ada, acme, 3);
const { keys } = await (await get(ada, "checkpoint")).json() as { keys: string[] };
const intact = await (await bundleOf(ada, acme)).text();
const altered = idsIn(intact).at(-2)!;
await tamper((sql) => sql`update bulwark.audit_logs set action = 'nothing' where id = ${altered}`);
/** The name of each export, its text, and what the verifier has to say of it. */
const exports: Record<
  string,
  { text: string; expected: Partial<ExportVerdict> & { code?: string } }
> = {
  "the log": { text: intact, expected: { outcome: "intact" } },
  "an entry that a superuser altered": {
    text: await (await bundleOf(ada, acme)).text(),
    expected: { outcome: "altered", code: "ENTRY_ALTERED" },
  },
  "an export that was edited": {
    text: intact.replace('"severity":"info"', '"severity":"debug"'),
    expected: { outcome: "altered", code: "ENTRY_ALTERED" },
  },
  "an export without its last entry": {
    text: intact.split("\n").toSpliced(
      intact.split("\n").findLastIndex((line) => line.startsWith('{"type":"entry"')),
      1,
    ).join("\n"),
    expected: { outcome: "altered", code: "ENTRY_MISSING" },
  },
};

function check(verdicts: ExportVerdict[]): void {
  const texts = Object.entries(exports);
  assert.equal(verdicts.length, texts.length);
  for (const [index, [name, { expected }]] of texts.entries()) {
    const { outcome, findings } = verdicts[index]!;
    const found = { outcome, ...findings[0] ? { code: findings[0].code } : {} };
    assert.deepEqual(found, expected, `${name}: ${JSON.stringify(verdicts[index])}`);
  }
  assert.equal(verdicts[1]!.findings[0]!.entry, altered);
  assert.equal(verdicts[0]!.organization, acme);
  assert.ok(verdicts[0]!.entries > 3);
  assert.ok(keys[0]!.startsWith(verdicts[0]!.signers[0]!));
}

Deno.test("CLIENT-E16: Deno verifies an export, and names what was altered", async () => {
  const files = Object.values(exports).map(({ text }) => new Blob([text]));
  check(await Promise.all(files.map((file) => verifyExport(file, { keys }))));
});

Deno.test("CLIENT-E17: Node 20 says the same with the built package, of a file on disk", async () => {
  const files = await Promise.all(
    Object.values(exports).map(async ({ text }, index) => {
      const path = join(consumer, `${index}.ndjson`);
      await Deno.writeTextFile(path, text);
      return path;
    }),
  );
  const runner = join(consumer, "verify.mjs");
  await Deno.writeTextFile(
    runner,
    `import { createReadStream } from "node:fs";
import { verifyExport } from "@bulwark/client/audit";
const [keys, ...files] = process.argv.slice(2);
const verdicts = [];
for (const file of files) {
  verdicts.push(await verifyExport(createReadStream(file), { keys: JSON.parse(keys) }));
}
console.log(JSON.stringify(verdicts));
`,
  );
  check(JSON.parse(await run("node", [runner, JSON.stringify(keys), ...files])));
});

Deno.test("CLIENT-E20: an export of a period proves it, and says its purpose", async () => {
  const moment = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return new Date().toISOString();
  };
  const before = await moment();
  await actAndSign(eve, globex, 2);
  const since = await moment();
  await actAndSign(eve, globex, 3);
  const until = await moment();
  await actAndSign(eve, globex, 2);
  const bulwark = createBulwark(supabaseWith(eve.token), { throwOnError: true });
  const exported = (period: { since: string; until?: string }, page_size = 1000) =>
    new Response(
      bulwark.audit.export({ organization: globex, period, page_size, purpose: "verification" }),
    ).blob();
  const verdictOn = (file: Blob, period: object) =>
    verifyExport(file, { keys, organization: globex, period });
  for (const size of [1000, 2]) {
    const file = await exported({ since, until }, size);
    const verdict = await verdictOn(file, { since, until });
    // Three entries of the period, and one on each side.
    assert.deepEqual([verdict.outcome, verdict.entries], ["intact", 5], JSON.stringify(verdict));
    assert.ok(verdict.sealed!.first < since && until <= verdict.sealed!.last);
    for (const other of [{ since: before, until }, { since, until: await moment() }, {}]) {
      assert.equal((await verdictOn(file, other)).outcome, "unproved");
    }
  }
  const open = await verdictOn(await exported({ since }), { since });
  assert.deepEqual([open.outcome, open.entries > 5], ["intact", true], JSON.stringify(open));
  // Nothing was sealed between them.
  const nothing = { since: before, until: before };
  const empty = await verdictOn(await exported(nothing), nothing);
  assert.deepEqual([empty.outcome, empty.entries <= 2], ["intact", true], JSON.stringify(empty));

  const found = await bulwark.audit.search({
    organization_id: globex,
    event_types: ["data.export"],
  });
  assert.ok(found.entries.length > 0);
  assert.ok(found.entries.every(({ details }) => details?.["purpose"] === "verification"));
  await assert.rejects(exported({ since: until, until: since }), { code: "AUDIT_INVALID_RANGE" });
  const stranger = createBulwark(supabaseWith(ada.token), { throwOnError: true });
  const foreign = stranger.audit.export({ organization: globex, period: { since } });
  await assert.rejects(new Response(foreign).blob(), { code: "RBAC_PERMISSION_DENIED" });
});

/** As a console serves itself: no inline code, no evaluation of text, nothing of others. */
const policy = "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'";

Deno.test({
  name: "CLIENT-E18: so does a worker in a browser, of a page with a strict policy" +
    (browser ? "" : " (needs Chromium; Debian: chromium)"),
  ignore: browser === null,
  async fn() {
    await Deno.writeTextFile(
      join(consumer, "audit_worker.js"),
      `import { verifyExport } from "@bulwark/client/audit";
onmessage = async ({ data: { file, keys } }) => {
  let progress = 0;
  const onProgress = ({ bytes }) => progress = bytes;
  try {
    postMessage({ ...await verifyExport(file, { keys, onProgress }), progress });
  } catch (thrown) {
    postMessage({ outcome: "error", message: String(thrown) });
  }
};
`,
    );
    const { outputFiles: [worker] } = await build({
      entryPoints: [join(consumer, "audit_worker.js")],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      target: "es2022",
    });
    const page = `
      const { keys, texts } = await (await fetch("/exports")).json();
      let evaluated = false;
      try { evaluated = eval("true") } catch {}
      const worker = new Worker("/worker.js", { type: "module" });
      const verdicts = [];
      worker.onerror = ({ message }) => send({ error: "the worker failed: " + message });
      const ask = () => worker.postMessage({ file: new File([texts[verdicts.length]], "x"), keys });
      worker.onmessage = ({ data }) => {
        verdicts.push(data);
        if (verdicts.length < texts.length) ask();
        else send({ verdicts, evaluated });
      };
      const send = (result) => fetch("/result", { method: "POST", body: JSON.stringify(result) });
      ask();`;
    const strict = (response: Response) => {
      response.headers.set("content-security-policy", policy);
      return response;
    };
    const texts = Object.values(exports).map(({ text }) => text);
    type Result = {
      verdicts: (ExportVerdict & { progress: number })[];
      evaluated: boolean;
      error?: undefined;
    };
    const result = await visit<Result>({
      "/": () => strict(html(`<script type="module" src="/page.js"></script>`)),
      "/page.js": () => strict(javascript(page)),
      "/worker.js": () => strict(javascript(worker?.text ?? "")),
      "/exports": () => Response.json({ keys, texts }),
    });
    if (result.error !== undefined) assert.fail(result.error);
    assert.equal(result.evaluated, false, "the policy was not in force");
    check(result.verdicts);
    assert.equal(result.verdicts[0]!.progress, new TextEncoder().encode(intact).length);
  },
});

Deno.test.afterAll(async () => {
  await stop();
  await scratch.remove();
});
