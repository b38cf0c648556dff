/** Every call of the client against the running stack, and the types of the answers. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { build } from "esbuild";
import { buildClient, run } from "../../scripts/building/client/package.ts";
import { tsc } from "../../scripts/checking/tsc.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { makeScratchFolder } from "../../scripts/stack/scratch.ts";
import type {
  AuditExportProgress,
  BulwarkError,
  SupabaseLike,
} from "../../clients/js/src/index.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";
import { parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import { comparedAnswers } from "../api/answers.ts";
import { operations } from "../api/document.ts";
import { callRemaining } from "../api/remaining.ts";
import { enrolled, signInAgain } from "../mfa/support.ts";
import { connect, freshSlug, signUp } from "../support.ts";
import { journey } from "./journey.ts";
import { type Recorded, sealed } from "./steps.ts";
import { createBulwark, makePlace, supabaseWith } from "./support.ts";

const databaseUrl = Deno.env.get("BULWARK_TEST_DB_URL") ?? "";
const receiver = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen() {} },
  () => new Response(null, { status: 204 }),
);
const receiverUrl = `http://127.0.0.1:${receiver.addr.port}/`;
const scratch = await makeScratchFolder("client");
const { consumer } = await buildClient(scratch.path);

// Both journeys at once.
const onNode = travelOnNode();
const answers = comparedAnswers();
const connectCompared = (token: string) => supabaseWith(token, undefined, answers.fetch);
const onDeno = journey({ createBulwark, connect: connectCompared }, await makePlace(receiverUrl));
onNode.catch(() => {});
onDeno.catch(() => {});

Deno.test("CLIENT-E01: Deno with supabase-js reaches everything, and only its own", async () => {
  const called = new Set((await onDeno).map(({ path }) => path));
  const all = pathsOf(createBulwark(supabaseWith("")));
  assert.deepEqual(all.filter((path) => !called.has(path)), []);
});

Deno.test("CLIENT-E02: Node 20 does too, with the built package and without supabase-js", async () => {
  const paths = (all: Recorded[]) => [...new Set(all.map(({ path }) => path))].sort();
  assert.deepEqual(paths(await onNode), paths(await onDeno));
});

/** Needs a month in a bucket: tests/audit/archive.test.ts compares its answers. */
const elsewhere = ["functions_audit_restore"];

Deno.test("API-06: all answers to the client and to other callers are as the document says", async () => {
  await onDeno;
  await callRemaining(answers.fetch);
  assert.deepEqual(answers.faults, []);
  const never = operations.map(({ operationId }) => operationId)
    .filter((id) => !answers.succeeded.has(id));
  assert.deepEqual(never, elsewhere);
});

// A literal may have neither fields that its type lacks nor values that it forbids.
Deno.test("CLIENT-E03: the types of all answers are those that the stack gave", async () => {
  const given = [...await onDeno, ...await onNode].filter(({ path, data }) =>
    // The type of canAll depends on its arguments.
    data !== undefined && path !== "canAll"
  );
  assert.ok(given.length > 200, String(given.length));
  const lines = given.map(({ path, data }, index) => {
    const type = path.split(".").map((name) => `["${name}"]`).join("");
    return `export const a${index}: Awaited<ReturnType<Bulwark${type}>> = ${JSON.stringify(data)};`;
  });
  const header = [
    `import type { Client } from "@bulwark/client";`,
    "type Bulwark = Client<true>;",
  ];
  await Deno.writeTextFile(join(consumer, "answers.ts"), [...header, ...lines].join("\n"));
  await compile("answers.ts").catch(({ message }: Error) => {
    const named = message.replace(
      /answers\.ts\((\d+),/g,
      (found, line) => `${given[Number(line) - header.length - 1]?.path} ${found}`,
    );
    assert.fail(named);
  });
});

Deno.test("CLIENT-E04: a call that needs a fresh second factor asks once, and is repeated once", async () => {
  const person = await enrolled("carl");
  const { token } = await signInAgain(person);
  let answer: string | true | null = null;
  const asked: string[] = [];
  const open = (handled: boolean, supabase: SupabaseLike = supabaseWith(token)) =>
    createBulwark(supabase, {
      onVerificationRequired: handled
        ? async ({ code }) => {
          asked.push(code);
          await new Promise((resolve) => setTimeout(resolve, 100));
          return answer;
        }
        : undefined,
    });
  const codeOf = async (call: Promise<{ error: BulwarkError | null }>) => (await call).error?.code;
  const required = "MFA_VERIFICATION_REQUIRED";
  assert.equal(await codeOf(open(false).mfa.newBackupCodes()), required);
  const bulwark = open(true);
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), required, "given up");
  answer = "000000";
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), "MFA_CODE_REFUSED");
  answer = true;
  assert.equal(await codeOf(bulwark.mfa.newBackupCodes()), required, "repeated once only");
  answer = person.backupCodes[0] ?? "";
  asked.length = 0;
  const made = await Promise.all([bulwark.mfa.newBackupCodes(), bulwark.mfa.trustDevice()]);
  assert.deepEqual(made.map(({ error }) => error), [null, null]);
  assert.deepEqual(asked, [required], "calls at the same time share a question");

  // A refusal that comes after the answer to the question of another call.
  const again = supabaseWith((await signInAgain(person)).token);
  let other: Promise<unknown> = Promise.resolve();
  let sent = 0;
  const late = open(true, {
    rpc: (name, args) => again.schema("bulwark").rpc(name, args),
    from: (table) => again.schema("bulwark").from(table),
    functions: {
      async invoke(path, options) {
        const reply = await again.functions.invoke(path, options);
        if (path !== "bulwark-mfa/devices") return reply;
        sent++;
        await other;
        return reply;
      },
    },
  });
  const callBoth = async () => {
    [asked.length, sent] = [0, 0];
    const first = late.mfa.newBackupCodes();
    other = first;
    const answers = await Promise.all([first, late.mfa.trustDevice()]);
    return answers.map(({ error }) => error?.code);
  };
  answer = true;
  assert.deepEqual(await callBoth(), [required, required], "repeated, and refused again");
  assert.deepEqual([asked, sent], [[required], 2], "repeated once only");
  answer = made[0].data?.backup_codes[0] ?? "";
  assert.deepEqual(await callBoth(), [undefined, undefined]);
  assert.deepEqual(asked, [required], "repeated without another question");
});

Deno.test("CLIENT-E05: errors have the code, the status, and the correlation id of a function", async () => {
  const dan = await signUp("dan");
  const bulwark = createBulwark(supabaseWith(dan.token));
  const { error } = await bulwark.organizations.create({ name: "", slug: freshSlug() });
  assert.deepEqual([error?.code, error?.status], ["RBAC_INVALID_NAME", 400]);
  const { error: large } = await bulwark.audit.log({
    event_type: "data.read",
    details: { text: "x".repeat(20_000) },
  });
  assert.deepEqual([large?.code, large?.status], ["AUDIT_DETAILS_TOO_LARGE", 413]);
  const { error: refused } = await bulwark.mfa.verify("123");
  assert.deepEqual([refused?.code, refused?.status], ["MFA_INVALID_CODE", 400]);
  assert.match(refused?.correlationId ?? "", /^[\da-f-]{36}$/);
  const nobody = createBulwark(supabaseWith("no.such.token"));
  assert.equal((await nobody.can("audit:read")).error?.code, "UNAUTHORIZED");
  assert.equal((await nobody.mfa.status()).error?.status, 401);
});

Deno.test("CLIENT-E06: bulwark types writes an application's own permissions for the compiler", async () => {
  const owner = connect(1);
  await owner`insert into bulwark.permissions (name, description) values
    ('invoice:approve', 'Approve invoices')`;
  await owner.end();
  const file = join(consumer, "bulwark.d.ts");
  const types = (...more: string[]) =>
    runWith(Deno.execPath(), [
      ...["run", "-A", `--config=${inRepository("deno.json")}`],
      ...[inRepository("cli", "bulwark.ts"), "types", "--out", file, ...more],
    ], "");
  const database = ["--db", databaseUrl];
  assert.equal((await types("--check", ...database)).success, false, "there is no file");
  const { success, stdout, stderr } = await types(...database);
  assert.ok(success, stderr);
  assert.match(stdout, /permissions/);
  assert.equal((await types("--check", ...database)).success, true);
  assert.match(await Deno.readTextFile(file), /"invoice:approve": true;/);
  await Deno.writeTextFile(
    join(consumer, "permissions.ts"),
    `import type { Permission } from "@bulwark/client";
export const own: Permission = "invoice:approve";
// @ts-expect-error there is no such permission
export const typo: Permission = "invoice:aprove";
`,
  );
  await compile("permissions.ts", "bulwark.d.ts");
  await Deno.writeTextFile(file, "// outdated");
  assert.equal((await types("--check", ...database)).success, false);
  assert.match((await types("--db", "nothing")).stderr, /CLI_USAGE/);
});

Deno.test("CLIENT-E07: an export that was interrupted and resumed verifies as a whole log", async () => {
  const place = await makePlace(receiverUrl);
  const bulwark = createBulwark(supabaseWith(place.ada.token), { throwOnError: true });
  const { id: organization } = await bulwark.organizations.create({ name: "x", slug: freshSlug() });
  for (let time = 0; time < 9; time++) {
    await bulwark.audit.log({ event_type: "data.read", organization_id: organization });
  }
  await sealed(place);
  let cursor: string | null = null;
  const asked = {
    organization,
    page_size: 2,
    onProgress: (progress: AuditExportProgress) => ({ cursor } = progress),
  };
  const reader = bulwark.audit.export(asked).getReader();
  const parts = [(await reader.read()).value, (await reader.read()).value];
  await reader.cancel();
  const rest = await new Response(bulwark.audit.export({ ...asked, cursor })).bytes();
  const bundle = new Blob([...parts, rest] as BlobPart[]).stream();
  const { keys } = await bulwark.audit.checkpoint();
  const known = await Promise.all(keys.map(parseVerifierKey));
  const { verdict } = await verifyBundle(bundle, { keys: known, reader: inline() });
  assert.equal(verdict.organization, organization);
  assert.ok(verdict.entries > 9);
  assert.deepEqual([verdict.findings, verdict.unproved], [[], []]);
});

Deno.test.afterAll(async () => {
  await receiver.shutdown();
  await scratch.remove();
});

async function compile(...files: string[]) {
  await run("node", [
    tsc,
    ...["--strict", "--exactOptionalPropertyTypes", "--noEmit", "--target", "ES2022"],
    ...["--module", "NodeNext", "--skipLibCheck", "--typeRoots", join(consumer, "none")],
    ...files.map((name) => join(consumer, name)),
  ]);
}

async function travelOnNode(): Promise<Recorded[]> {
  await build({
    entryPoints: [inRepository("tests", "client", "journey.ts")],
    outfile: join(consumer, "journey.mjs"),
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
  });
  const runner = join(consumer, "node_runner.mjs");
  await Deno.copyFile(inRepository("tests", "client", "node_runner.mjs"), runner);
  const place = JSON.stringify(await makePlace(receiverUrl));
  const { success, stdout, stderr } = await runWith("node", [runner], place);
  assert.ok(success, stderr);
  return JSON.parse(stdout);
}

async function runWith(program: string, args: string[], input: string) {
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args, ...piped }).spawn();
  await new Blob([input]).stream().pipeTo(child.stdin);
  const { success, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { success, stdout: text(stdout), stderr: text(stderr) };
}

/** The paths of all calls of a client. */
function pathsOf(part: object, above = ""): string[] {
  return Object.entries(part).flatMap(([name, value]) =>
    typeof value === "function" ? [above + name] : pathsOf(value, `${above}${name}.`)
  );
}
