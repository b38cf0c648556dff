/** `npm run export-audit` against a running stack: to the end, with progress, and after a kill. */
import assert from "node:assert/strict";
import { inRepository } from "../../scripts/stack/paths.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";
import type { ExportPage } from "../../supabase/functions/_bulwark/audit/export.ts";
import { parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import {
  anonymous,
  callFunction,
  connect,
  createOrganization,
  liftLimits,
  ok,
  type Person,
  schedulerSecret,
  service,
  signUp,
  url,
} from "../support.ts";

const folder = await Deno.makeTempDir();
const script = inRepository("scripts", "export_audit.ts");
const config = inRepository("deno.json");
await liftLimits();
const ada = await signUp("ada");
const acme = await createOrganization(ada);
/** More than one request can hold, so that the export consists of several bundles. */
const rows = 60_000;
await fill(acme, rows);

/** Writes, seals and signs so many entries. */
async function fill(organization: string, count: number): Promise<void> {
  const sql = connect(1);
  await sql.unsafe(`
    create table public.exported (id integer primary key, organization_id uuid);
    select bulwark.enable_audit('public.exported', organization_column => 'organization_id',
      bulk => true);
    insert into public.exported select n, '${organization}' from generate_series(1, ${count}) n;
  `);
  // A call seals as much as its time allows.
  let signed = 0;
  while (signed < count) {
    await sign();
    const [coverage] =
      await sql`select signed_entries from bulwark.audit_coverage(${organization})`;
    signed = Number(coverage?.["signed_entries"]);
  }
  await sql.end();
}

/** Seals the log and signs its head. */
async function sign(): Promise<void> {
  const answer = await callFunction("audit/checkpoint", {
    method: "POST",
    token: schedulerSecret,
  });
  assert.equal(answer.status, 200, await answer.text());
}

function command(args: string[], env: Record<string, string> = {}): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", config, script, ...args],
    // A closed standard input must not look as if the parent had died.
    stdin: "null",
    env: {
      NO_COLOR: "1",
      BULWARK_PARENT_PIPE: "",
      SUPABASE_URL: url,
      SUPABASE_SECRET_KEY: Deno.env.get("BULWARK_TEST_SECRET_KEY") ?? "",
      ...env,
    },
    stdout: "piped",
    stderr: "piped",
  });
}

async function run(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await command(args, env).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

async function verdictOf(path: string, person: Person = ada) {
  const published = await callFunction("audit/checkpoint", { token: person.token });
  const { keys } = await published.json();
  const file = await Deno.open(path);
  const { verdict } = await verifyBundle(file.readable, {
    keys: await Promise.all(keys.map(parseVerifierKey)),
    reader: inline(),
  });
  return verdict;
}

/** The exit code of `npm run verify-audit`. */
async function verifyByProgram(path: string, ...more: string[]): Promise<number> {
  const published = await callFunction("audit/checkpoint", { token: ada.token });
  const { keys } = await published.json();
  const program = script.replace("export_audit.ts", "verify_audit.ts");
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", "--config", config, program, path, "--key", keys[0], ...more],
    stdin: "null",
    env: { NO_COLOR: "1", BULWARK_PARENT_PIPE: "" },
  }).output();
  return code;
}

async function linesOf(path: string, type: string): Promise<number> {
  const text = await Deno.readTextFile(path);
  return text.split(`{"type":"${type}"`).length - 1;
}

Deno.test("AUD-X01: an export follows the cursor to the end, says how far it is, and verifies", async () => {
  const out = `${folder}/whole.ndjson`;
  const { code, out: said, error } = await run([acme, "--out", out]);
  assert.equal(code, 0, error);
  assert.match(error, /[\d,]{5,} entries, up to \d+:\d+/);
  assert.match(said, /^6[\d,]+ entries in .*whole\.ndjson, [\d.]+ s\n/);
  assert.match(said, /--after \d+:\d+/);
  assert.ok(await linesOf(out, "bundle") > 1);
  const verdict = await verdictOf(out);
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
  assert.equal(verdict.next, null);
  assert.ok(verdict.covered > rows);
  assert.equal((await Deno.stat(out)).mode! & 0o077, 0, "for its owner alone");
  // The program itself, which reads a file of this size on several threads.
  assert.equal(await verifyByProgram(out), 0);
  const bytes = await Deno.readFile(out);
  bytes[bytes.length >> 1]! ^= 1;
  await Deno.writeFile(`${out}.altered`, bytes);
  assert.ok([1, 2].includes(await verifyByProgram(`${out}.altered`)));
});

Deno.test("AUD-X02: a killed export leaves no file under its name, and the same command goes on", async () => {
  const out = `${folder}/killed.ndjson`;
  const child = command([acme, "--out", out]).spawn();
  const size = () => Deno.stat(`${out}.part`).then((info) => info.size, () => 0);
  while (await size() === 0) await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill("SIGKILL");
  await child.output();
  await assert.rejects(Deno.stat(out), Deno.errors.NotFound);
  assert.equal((await run([acme, "--out", out])).code, 0);
  const verdict = await verdictOf(out);
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
  await assert.rejects(Deno.stat(`${out}.part`), Deno.errors.NotFound);
});

Deno.test("AUD-X03: what was whole when it was killed is not fetched again", async () => {
  const out = `${folder}/resumed.ndjson`;
  const whole = await Deno.readTextFile(`${folder}/whole.ndjson`);
  const second = whole.lastIndexOf('{"type":"bundle"');
  await Deno.writeTextFile(`${out}.part`, whole.slice(0, second + 5000));
  const { code, out: said, error } = await run([acme, "--out", out]);
  assert.equal(code, 0, error);
  assert.match(error, /Going on after \d+:\d+, where .*resumed\.ndjson\.part ends/);
  assert.match(said, /^1\d,\d+ entries/);
  const verdict = await verdictOf(out);
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
  assert.ok(verdict.entries >= whole.split('{"type":"entry"').length - 1);
  const text = await Deno.readTextFile(out);
  assert.equal(text.slice(0, second), whole.slice(0, second));
});

Deno.test("AUD-X04: a part of another export is not mixed in", async () => {
  const out = `${folder}/other.ndjson`;
  const whole = await Deno.readTextFile(`${folder}/whole.ndjson`);
  for (
    const part of [
      whole.slice(0, 9000).replace(acme, crypto.randomUUID()),
      whole.slice(0, 9000).replace('"after":null', '"after":"1:1"'),
      "my thesis\n",
    ]
  ) {
    await Deno.writeTextFile(`${out}.part`, part);
    const { code, error } = await run([acme, "--out", out]);
    assert.equal(code, 2);
    assert.match(error, /is a part of something else; remove it/);
    assert.equal(await Deno.readTextFile(`${out}.part`), part);
  }
});

Deno.test("AUD-X05: a person exports what is theirs, in any format, and a stranger nothing", async () => {
  const password = crypto.randomUUID();
  const email = `bea-${password.slice(0, 8)}@people.test`;
  const client = anonymous();
  assert.equal((await client.auth.signUp({ email, password })).error, null);
  const slug = `org-${password.slice(0, 8)}`;
  const own = ok(await client.rpc("create_organization", { name: slug, slug })).id;
  const env = {
    SUPABASE_SECRET_KEY: "",
    SUPABASE_PUBLISHABLE_KEY: Deno.env.get("BULWARK_TEST_PUBLISHABLE_KEY") ?? "",
    BULWARK_EMAIL: email,
    BULWARK_PASSWORD: password,
  };
  await sign();
  for (const format of ["ndjson", "csv", "json", "ocsf"]) {
    const out = `${folder}/own.${format}`;
    const { code, error } = await run([own, "--out", out, "--format", format], env);
    assert.equal(code, 0, error);
    assert.ok((await Deno.readTextFile(out)).includes("org-"));
  }
  assert.equal((await verdictOf(`${folder}/own.ndjson`)).unproved.length, 0);
  const bundle = await run([acme, "--out", `${folder}/foreign.ndjson`], env);
  assert.equal(bundle.code, 1);
  assert.match(bundle.error, /permission audit:export is missing; the same command goes on/);
  const foreign = await run([acme, "--out", `${folder}/foreign.csv`, "--format", "csv"], env);
  assert.equal(foreign.code, 1);
  assert.match(foreign.error, /permission audit:export is missing; .*--after/);
  await assert.rejects(Deno.stat(`${folder}/foreign.csv`), Deno.errors.NotFound);
  const wrong = await run([own, "--out", "x"], { ...env, BULWARK_PASSWORD: "wrong" });
  assert.match(wrong.error, /Cannot sign in/);
});

Deno.test("AUD-X07: a page that had to wait holds entries, and never ends a log that goes on", async () => {
  const sql = connect(1);
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { promise: locked, resolve: isLocked } = Promise.withResolvers<void>();
  const holding = sql.begin(async (held) => {
    await held`lock table bulwark_private.audit_groups in access exclusive mode`;
    isLocked();
    await released;
  });
  await locked;
  const page = service().rpc("export_audit_log", { organization_id: acme, page_size: 100 })
    .then(ok) as unknown as Promise<ExportPage>;
  const watching = connect(1);
  for (let waits = false; !waits;) {
    [{ waits }] = await watching`
      select exists (
        select from pg_locks
        where relation = 'bulwark_private.audit_groups'::regclass and not granted
      ) as waits
    ` as unknown as [{ waits: boolean }];
  }
  // Longer than the time that a page may take.
  await new Promise((resolve) => setTimeout(resolve, 3500));
  release();
  await holding;
  const { groups, next } = await page;
  assert.ok(groups.length > 0 && groups[0]!.entries.length > 0);
  assert.ok(next, "the log goes on");
  await Promise.all([sql.end(), watching.end()]);
});

Deno.test("AUD-X08: an export of nothing says so, and verifies as nothing", async () => {
  for (const format of ["ndjson", "csv", "json", "ocsf"]) {
    const args = [crypto.randomUUID(), "--out", `${folder}/nothing.${format}`, "--format", format];
    const { code, error } = await run(args);
    assert.equal(code, 2, format);
    assert.match(error, /Nothing was exported: no entry is sealed\. Is it the right log\?/);
  }
  assert.equal(await verifyByProgram(`${folder}/nothing.ndjson`), 2);
  assert.equal(await verifyByProgram(`${folder}/nothing.ndjson`, "--empty"), 0);
});

Deno.test("AUD-X09: a period is exported by itself, and proved by itself", async () => {
  const own = await createOrganization(ada);
  const sql = connect(1);
  const times: string[] = [];
  for (let id = 100_001; id <= 100_004; id++) {
    await sql`insert into public.exported values (${id}, ${own})`;
    await sign();
    const [row] = await sql`select clock_timestamp() as now`;
    times.push((row?.now as Date).toISOString());
    // Another millisecond.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await sql.end();
  const out = `${folder}/period.ndjson`;
  const second = ["--period", `${times[0]}/${times[1]}`];
  const { code, out: said, error } = await run([own, "--out", out, ...second]);
  assert.equal(code, 0, error);
  assert.match(said, /^3 entries in /, "the entry of the period, and one on each side");
  assert.equal(await linesOf(out, "entry"), 3);
  assert.equal(await verifyByProgram(out, "--organization", own, ...second), 0);
  assert.equal(await verifyByProgram(out), 2, "it is not the whole log");
  assert.equal(await verifyByProgram(out, "--period", `/${times[1]}`), 2, "nor its beginning");
  assert.equal(await verifyByProgram(out, "--period", `${times[0]}/`), 2, "nor its end");
  const csv = `${folder}/period.csv`;
  const listed = await run([own, "--out", csv, "--format", "csv", ...second]);
  assert.deepEqual([listed.code, /^3 entries/.test(listed.out)], [0, true], listed.error);
  const both = await run([own, "--out", out, ...second, "--after", "1:1"]);
  assert.deepEqual([both.code, /excludes --after/.test(both.error)], [2, true]);
});

globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

Deno.test("AUD-X06: a cursor does not make an export one that goes on", async () => {
  const ask = async (cursor: string | null, limit = 1) => {
    const query = new URLSearchParams({
      organization_id: acme,
      limit: String(limit),
      ...cursor === null ? {} : { cursor },
    });
    const answer = await callFunction(`audit/export?${query}`, { token: ada.token });
    await answer.body?.cancel();
    const [, rule] = /^"(\w+)"/.exec(answer.headers.get("ratelimit") ?? "") ?? [];
    return { status: answer.status, rule, next: answer.headers.get("x-next-cursor") };
  };
  const first = await ask("0:0");
  assert.deepEqual([first.status, first.rule], [200, "export"]);
  assert.ok(first.next, "there is more");
  const second = await ask(first.next);
  assert.deepEqual([second.status, second.rule], [200, "api_relaxed"], "that goes on");
  assert.ok(second.next, "and there is more");
  assert.equal((await ask(first.next)).rule, "export", "that goes back");
  assert.equal((await ask(`${first.next}0`)).status, 200);
  const ends = await ask("900000:0");
  assert.deepEqual([ends.status, ends.rule], [200, "api_relaxed"], "ahead of all there is");
  for (const back of ["0:0", "00:000", "0:1", "0:0", "nonsense", ""]) {
    assert.equal((await ask(back)).rule, "export", back);
  }
  const limit = { rule: "export", capacity: 10, window_seconds: 36_000 };
  assert.equal((await service().rpc("set_rate_limit", limit)).error, null);
  const statuses: number[] = [];
  for (let call = 0; call < 40; call++) statuses.push((await ask("0:0")).status);
  assert.ok(statuses.filter((status) => status === 200).length <= 10, String(statuses));
});
