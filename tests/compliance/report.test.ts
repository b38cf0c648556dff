/** `npm run compliance-report` against a running stack: made, signed, checked, and altered. */
import assert from "node:assert/strict";
import { checkReport } from "../../scripts/compliance/verifying.ts";
import { controls } from "../../scripts/compliance/controls.ts";
import { htmlOf } from "../../scripts/compliance/html.ts";
import type { Report } from "../../scripts/compliance/shapes.ts";
import { inRepository } from "../../scripts/stack/paths.ts";
import { chromium } from "../../scripts/stack/binaries.ts";
import { parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import {
  callFunction,
  connect,
  createOrganization,
  join,
  liftLimits,
  ok,
  publishableKey,
  schedulerSecret,
  secretKey,
  signUp,
  url,
} from "../support.ts";

const folder = await Deno.makeTempDir();
await liftLimits();
const ada = await signUp("ada");
const bob = await signUp("bob");
const eve = await signUp("eve");
const acme = await createOrganization(ada);
const globex = await createOrganization(eve);
await join(ada, acme, bob, "viewer");
ok(
  await ada.client.rpc("create_api_key", {
    organization_id: acme,
    name: "<script>alert(1)</script>",
    scopes: ["analytics:read"],
  }),
);
const signed = await callFunction("audit/checkpoint", { method: "POST", token: schedulerSecret });
assert.equal(signed.status, 200, await signed.text());
const published = await callFunction("audit/checkpoint", { token: ada.token });
const vkey = (await published.json()).keys[0] as string;
const key = await parseVerifierKey(vkey);

async function run(args: string[], env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--no-check",
      "--config",
      inRepository("deno.json"),
      inRepository("scripts", "compliance_report.ts"),
      ...args,
    ],
    stdin: "null",
    env: {
      NO_COLOR: "1",
      BULWARK_PARENT_PIPE: "",
      SUPABASE_URL: url,
      SUPABASE_SECRET_KEY: secretKey,
      ...env,
    },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), error: decoder.decode(stderr) };
}

const asAda = {
  SUPABASE_SECRET_KEY: "",
  SUPABASE_PUBLISHABLE_KEY: publishableKey,
  BULWARK_EMAIL: ada.email,
  BULWARK_PASSWORD: ada.password,
};
const out = `${folder}/acme`;

Deno.test("CMP-P01: the command makes a signed report with pages, and proves it with the key alone", async () => {
  const made = await run([acme, "--out", out], asAda);
  assert.equal(made.code, 0, made.error);
  const checked = await run(["--verify", `${out}.ndjson`, "--key", vkey, "--organization", acme], {
    SUPABASE_URL: "",
  });
  assert.equal(checked.code, 0, checked.out + checked.error);
  assert.match(checked.out, /^The report is as signed\.\n {2}log {11}\S+\/audit\n/);
  const report = await reportIn(out);
  assert.deepEqual(
    report.access.members.map(({ email }) => email).sort(),
    [ada.email, bob.email].sort(),
  );
  assert.equal(report.made_by, ada.id);
  assert.equal(report.verification.verdict.intact, true);
  assert.ok(report.verification.checkpoint);
  const page = await Deno.readTextFile(`${out}.html`);
  assert.ok(page.includes("&lt;script&gt;alert(1)&lt;/script&gt;"), "names are text");
  assert.ok(!page.includes("<script"), "and no page has a script");
  assert.match(page, /<p>2 members, with 1 administrator among them; \d+ operators? of the/);
  if (chromium()) {
    const pdf = await Deno.readFile(`${out}.pdf`);
    assert.equal(new TextDecoder().decode(pdf.subarray(0, 5)), "%PDF-");
  }
});

Deno.test("CMP-P02: its entry is in the log, with who asked", async () => {
  const { entry } = await reportIn(out);
  const { data } = await ada.client.from("audit_logs").select("event_type, action, actor_id")
    .eq("id", entry);
  assert.deepEqual(data, [
    { event_type: "compliance.export", action: "compliance_report", actor_id: ada.id },
  ]);
});

Deno.test("CMP-P03: an altered report, another one's statement and other keys prove nothing", async () => {
  const text = await Deno.readTextFile(`${out}.ndjson`);
  const verdict = async (changed: string, keys = [key], of: string | null = null) => {
    const { verdict, lines } = await checkReport(changed, keys, of);
    return `${verdict} ${lines.slice(1).join(";").trim()}`;
  };
  assert.match(await verdict(text), /^0 /);
  assert.equal(
    await verdict(text.replace(bob.email, "mallory@people.test")),
    "1 its bytes are not those that were signed",
  );
  assert.equal(await verdict(text, [key], globex), `1 it is about the organization ${acme}`);
  assert.match(
    await verdict(text.replace(/organization [0-9a-f-]{36}/, `organization ${globex}`)),
    /^1 the signature of \S+\/report is not by its key$/,
  );
  const other = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const publicKey = new Uint8Array(
    await crypto.subtle.exportKey("raw", (other as CryptoKeyPair).publicKey),
  );
  assert.match(await verdict(text, [{ ...key, publicKey }]), /^2 the note is signed by none/);
  const [line, statement] = text.split("\n") as [string, string];
  assert.equal(
    (await checkReport(`${line}\n{"type":"statement","note":null}\n`, [key], null)).verdict,
    2,
  );
  const later = await Deno.readTextFile(await anotherReport());
  assert.match(await verdict(`${later.split("\n")[0]}\n${statement}\n`), /^1 its bytes are not/);
  await assert.rejects(checkReport("{}\n{}\n", [key], null), { code: "NO_REPORT" });
  // A statement about an export or a checkpoint is none about a report.
  const { note } = JSON.parse(line).verification.checkpoint;
  assert.match(await verdict(`${line}\n${JSON.stringify({ type: "statement", note })}\n`), /^2 /);
});

Deno.test("CMP-P04: pages are made again from a proved report, and from no other", async () => {
  const again = `${folder}/again`;
  assert.equal((await run(["--verify", `${out}.ndjson`, "--key", vkey, "--out", again])).code, 0);
  assert.equal(
    await Deno.readTextFile(`${again}.html`),
    await Deno.readTextFile(`${out}.html`),
  );
  const altered = `${folder}/altered.ndjson`;
  const text = await Deno.readTextFile(`${out}.ndjson`);
  await Deno.writeTextFile(altered, text.replace(bob.email, "mallory@people.test"));
  const refused = await run(["--verify", altered, "--key", vkey, "--out", `${folder}/no`]);
  assert.equal(refused.code, 1);
  await assert.rejects(Deno.stat(`${folder}/no.html`));
  // 1 is said of a report alone.
  const unwritten = await run(["--verify", `${out}.ndjson`, "--key", vkey, "--out", "/dev/null/x"]);
  assert.equal(unwritten.code, 2, unwritten.out + unwritten.error);
});

Deno.test("CMP-P05: the function serves who may, and nobody else", async () => {
  const ask = async (token: string | undefined, query: string) => {
    const answer = await callFunction(`compliance/report?${query}`, { token });
    return `${answer.status} ${(await answer.json().catch(() => ({}))).code ?? ""}`.trim();
  };
  assert.equal(await ask(undefined, `organization_id=${acme}`), "401 UNAUTHORIZED");
  assert.equal(await ask(bob.token, `organization_id=${acme}`), "403 RBAC_PERMISSION_DENIED");
  assert.equal(await ask(eve.token, `organization_id=${acme}`), "403 RBAC_PERMISSION_DENIED");
  assert.equal(await ask(ada.token, "organization_id=acme"), "400 INVALID_INPUT");
  assert.equal(
    await ask(
      ada.token,
      `organization_id=${acme}&since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z`,
    ),
    "400 COMPLIANCE_INVALID_RANGE",
  );
  const refused = await run([globex, "--out", `${folder}/globex`], asAda);
  assert.equal(refused.code, 1);
  assert.match(refused.error, /^Cannot make the report: RBAC_PERMISSION_DENIED /);
});

Deno.test("CMP-P06: wrong arguments end with 2 and the usage", async () => {
  for (
    const args of [
      [],
      [acme],
      [acme, globex, "--out", out],
      [acme, "--out", out, "--since", "yesterday"],
      [acme, "--out", out, "--key", vkey],
      ["--verify", `${out}.ndjson`],
      ["--verify", `${folder}/none`, "--key", vkey],
      ["--verify", `${out}.ndjson`, "--key", "none"],
      ["--bogus"],
    ]
  ) {
    const { code, error } = await run(args);
    assert.equal(code, 2, args.join(" "));
    assert.equal(error.trim().split("\n").length, 1, error);
  }
});

Deno.test("CMP-P07: the report of the demo has evidence for each control of CC6 and CC7", async () => {
  const sql = connect(1);
  const [demo] = await sql`
    select id from bulwark.organizations where slug = 'acme'`;
  await sql.end();
  const made = await run([demo!.id, "--out", `${folder}/demo`]);
  assert.equal(made.code, 0, made.error);
  const text = await Deno.readTextFile(`${folder}/demo.ndjson`);
  const page = htmlOf(await checkReport(text, null, null));
  const report = await reportIn(`${folder}/demo`);
  assert.ok(report.access.members.length > 0 && report.grants.total > 0);
  for (const { id, parts } of controls) {
    // Physical access is the hosting provider's.
    assert.equal(parts.length > 0, id !== "CC6.4", id);
    for (const part of parts) {
      assert.ok(report[part], `${id}: ${part}`);
      assert.ok(page.includes(`<h2 id="${part}">`), `${id}: ${part}`);
    }
  }
  for (const group of ["CC6", "CC7"]) {
    const numbers = controls.filter(({ id }) => id.startsWith(group)).map(({ id }) => id);
    assert.deepEqual(numbers, numbers.map((_, place) => `${group}.${place + 1}`));
  }
});

async function reportIn(name: string): Promise<Report> {
  return JSON.parse((await Deno.readTextFile(`${name}.ndjson`)).split("\n")[0] ?? "");
}

async function anotherReport(): Promise<string> {
  const made = await run([acme, "--out", `${folder}/later`, "--since", "2026-01-01"]);
  assert.equal(made.code, 0, made.error);
  return `${folder}/later.ndjson`;
}
