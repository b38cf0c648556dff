import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { expect, type Place, refused, signUp, step, title } from "./guide.ts";
import { parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import { inline } from "../../clients/js/src/audit/reader.ts";
import type { Verdict } from "../../clients/js/src/audit/verdict.ts";
import { verifyBundle } from "../../clients/js/src/audit/verify.ts";

/** The audit log: written, verified, altered by a superuser, and the alteration found. */
export async function audit(place: Place): Promise<void> {
  title("Ada makes an organization and works in it; its table reports is audited");
  const [ada, eve] = [await signUp(place, "Ada"), await signUp(place, "Eve")];
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );
  const superuser = connect(place.superuserUrl);
  try {
    await superuser`
      select bulwark.enable_audit('public.reports', organization_column => 'organization_id')
      where not exists (
        select from bulwark_private.audit_watched_tables g where g.relation = 'public.reports'::regclass
      )
    `;
    const writes = ["First quarter", "Second quarter"].map((title) => ({ organization_id, title }));
    await step("Ada writes two reports", ada.client.from("reports").insert(writes));
    const sealed = () => superuser`select bulwark.seal_audit_log()`;
    await sealed();

    title("The log knows, and nobody edits it");
    const written = ada.bulwark.from("audit_logs").select("id, event_type, after")
      .eq("organization_id", organization_id).eq("resource_type", "public.reports").order("id");
    const entries = await step("Ada reads what was recorded", written);
    for (const { event_type, after } of entries) {
      console.log(`           ${event_type} ${JSON.stringify(after)}`);
    }
    const entry = entries[0]?.id ?? "";
    await expect(
      "Eve reads",
      [],
      eve.bulwark.from("audit_logs").select("id").eq("organization_id", organization_id),
    );
    await refused(
      "Ada edits an entry",
      "42501",
      ada.bulwark.from("audit_logs").update({ action: "nothing" }).eq("id", entry),
    );

    title("Verified, in the database and without it");
    const verify = () =>
      ada.bulwark.rpc("verify_audit_log", { organization_id }).select("intact, problem, entry");
    await expect("Ada verifies", [{ intact: true, problem: null, entry: null }], verify());
    const vkey = await checkpoint(place, await tokenOf(ada));
    show(await exportAndVerify(place, await tokenOf(ada), organization_id, vkey), []);

    title("A superuser switches the triggers off and rewrites history");
    const rewrite = (from: string, to: string) =>
      superuser.begin(async (sql) => {
        await sql`alter table bulwark.audit_logs disable trigger audit_logs_refuse_change`;
        await sql`
          update bulwark.audit_logs
          set after = jsonb_set(after, '{title}', to_jsonb(${to}::text))
          where id = ${entry} and after ->> 'title' = ${from}
        `;
        await sql`alter table bulwark.audit_logs enable always trigger audit_logs_refuse_change`;
      });
    await rewrite("First quarter", "Nothing at all");
    console.log("  done     'First quarter' is now 'Nothing at all', and the triggers are back");
    await expect(
      "Ada verifies: it fails and names the entry",
      [{ intact: false, problem: "entry_altered", entry }],
      verify(),
    );
    show(await exportAndVerify(place, await tokenOf(ada), organization_id, vkey), [entry]);

    title("Put back, the log verifies again; that somebody was at the triggers stays in it");
    await rewrite("Nothing at all", "First quarter");
    await expect("Ada verifies", [{ intact: true, problem: null, entry: null }], verify());
    await sealed();
    const [traces] = await superuser`
      select count(*)::integer as found from bulwark.audit_logs
      where event_type = 'security.suspicious_activity' and resource_type = 'bulwark.audit_logs'
    `;
    if (!traces || traces.found === 0) throw new Failure("TOUR", "the triggers left no trace");
    console.log("  ok       security.suspicious_activity: the triggers of audit_logs were touched");
  } finally {
    await superuser.end();
  }
}

async function tokenOf(
  { client }: { client: { auth: { getSession(): Promise<{ data: { session: unknown } }> } } },
): Promise<string> {
  const { data } = await client.auth.getSession();
  return (data.session as { access_token: string }).access_token;
}

/** Signs the log's head, and returns the public key. */
async function checkpoint(place: Place, token: string): Promise<string> {
  const url = `${place.url}/functions/v1/bulwark-audit/checkpoint`;
  const asked = await fetch(url, {
    method: "POST",
    headers: { authorization: `Bearer ${place.schedulerSecret}` },
  });
  const { tree_size, message } = await asked.json();
  if (!asked.ok) throw new Failure("TOUR", `Cannot sign the log: ${message}`);
  const headers = { apikey: place.publishableKey, authorization: `Bearer ${token}` };
  const { keys } = await (await fetch(url, { headers })).json();
  console.log(`  ok       the head over ${tree_size} seals is signed; the key to verify it with:`);
  console.log(`           ${keys[0]}`);
  return keys[0];
}

/** Exports an organization's log and verifies it like `npm run verify-audit`. */
async function exportAndVerify(
  place: Place,
  token: string,
  organization_id: string,
  vkey: string,
): Promise<Verdict> {
  const query = new URLSearchParams({ format: "ndjson", organization_id });
  const answer = await fetch(`${place.url}/functions/v1/bulwark-audit/export?${query}`, {
    headers: { apikey: place.publishableKey, authorization: `Bearer ${token}` },
  });
  if (!answer.ok || !answer.body) throw new Failure("TOUR", await answer.text());
  const keys = [await parseVerifierKey(vkey)];
  return (await verifyBundle(answer.body, { keys, reader: inline() })).verdict;
}

/** Prints a verdict that has to name exactly these entries. */
function show({ entries, covered, findings }: Verdict, wanted: string[]): void {
  const named = findings.length === wanted.length &&
    findings.every(({ message }, index) => message.includes(wanted[index] ?? ""));
  if (!named || covered === 0) {
    throw new Failure("TOUR", `the export says ${JSON.stringify({ entries, covered, findings })}`);
  }
  console.log(`  ok       exported and verified offline: ${entries} entries, ${covered} signed`);
  for (const { code, message } of findings) console.log(`           ${code}: ${message}`);
}
