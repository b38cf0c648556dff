/** The project of a drill: what is in it, and what its people and programs keep elsewhere. */
import { createClient } from "@supabase/supabase-js";
import { HOTP, Secret } from "otpauth";
import { apiKeyToken } from "../../clients/js/src/api_key.ts";
import { openCheckpoint, parseVerifierKey } from "../../supabase/functions/_bulwark/audit/note.ts";
import { verifyWebhook } from "../../supabase/functions/_bulwark/webhooks/verify.ts";
import { compareWithKept } from "../../clients/js/src/audit/anchor.ts";
import { readConsistency } from "../../clients/js/src/audit/records.ts";
import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { freePort } from "../stack/ports.ts";
import { type Place, signInAgain, signUp, type Visitor } from "../tour/guide.ts";

/** Facts that are kept outside of the project and have to be true after a restore. */
export interface Kept {
  contacts: { id: string; email: string; reader: Visitor }[];
  /** Somebody who signs in with a second factor, and its secret. */
  careful: { visitor: Visitor; secret: string };
  apiKey: string;
  reports: string[];
  webhook: { port: number; secret: string; deliveries: string[] };
  /** A checkpoint of the audit log, and the public keys. */
  checkpoint: { note: string; keys: string[] };
}

/** Two organizations with all that a project has; the receiver of its webhook is away. */
export async function fill(place: Place): Promise<Kept> {
  const [ada, ben, vic, eve] = await Promise.all(
    ["Ada", "Ben", "Vic", "Eve"].map((name) => signUp(place, name)),
  ) as [Visitor, Visitor, Visitor, Visitor];
  const acme = await makeOrganization(ada, vic);
  const globex = await makeOrganization(ben, eve);
  const contacts = [
    await addContact(place, ada, acme, "grace@navy.test"),
    await addContact(place, ben, globex, "alan@bletchley.test"),
  ];
  const begun = await call(place, vic, "mfa/enroll", { name: "Phone" });
  const secret = String(begun["secret"]);
  await call(place, vic, "mfa/activate", { code: codeOf(secret, -1) });

  const key = done(
    "make an API key",
    await ada.bulwark.rpc("create_api_key", {
      organization_id: acme,
      name: "script",
      scopes: ["analytics:read", "analytics:write"],
    }),
  );
  const reports = ["First", "Second"];
  for (const title of reports) {
    const row = { organization_id: acme, title };
    done("write a report", await ada.client.from("reports").insert(row).select());
  }

  const port = freePort();
  const endpoint = await call(place, ada, "webhooks/endpoints", {
    organization_id: acme,
    name: "Away",
    url: `http://127.0.0.1:${port}/`,
    subscriptions: [{ pattern: "audit.data.export" }],
  });
  const event = { event_type: "data.export", organization_id: acme };
  done("export", await ada.bulwark.rpc("log_audit_event", event));
  const sql = connect(place.superuserUrl);
  try {
    await sql`select bulwark.seal_audit_log()`;
    const pending = await sql<{ id: string }[]>`
      select id from bulwark.webhook_deliveries
      where endpoint_id = ${String(endpoint["id"])} and status = 'pending'
    `;
    if (pending.length === 0) throw new Failure("DRILL", "Cannot drill: no webhook was queued");
    return {
      contacts: contacts.map((contact, index) => ({ ...contact, reader: index ? eve : vic })),
      careful: { visitor: vic, secret },
      apiKey: key.api_key ?? "",
      reports,
      webhook: {
        port,
        secret: String(endpoint["secret"]),
        deliveries: pending.map(({ id }) => id),
      },
      checkpoint: await signCheckpoint(place, ada),
    };
  } finally {
    await sql.end();
  }
}

/** A check of a restored project; it throws what is wrong. */
export type Check = (place: Place, kept: Kept) => Promise<void>;

/** Everything that a restore has to bring back, by name. */
export const checks: Record<string, Check> = {
  "the audit log verifies, and extends the checkpoint that was kept": async (place, kept) => {
    const sql = connect(place.superuserUrl);
    const [verdict] = await sql`
      select v.intact, v.complete, v.problem, v.detail from bulwark.verify_audit_log() v
    `;
    await sql.end();
    expect("the log", { ...verdict }, {
      intact: true,
      complete: true,
      problem: null,
      detail: null,
    });
    const reader = await signInAgain(place, kept.contacts[0]!.reader);
    const keys = await Promise.all(kept.checkpoint.keys.map(parseVerifierKey));
    const earlier = await openCheckpoint(kept.checkpoint.note, keys);
    const later = await openCheckpoint((await signCheckpoint(place, reader)).note, keys);
    const query = `from=${earlier.size}&to=${later.size}`;
    const proof = later.size === earlier.size
      ? null
      : readConsistency(await get(place, reader, `audit/proof/consistency?${query}`));
    expect("the kept checkpoint", await compareWithKept(later, earlier, proof), null);
  },
  "encrypted fields are read": async (place, { contacts }) => {
    for (const { id, email, reader } of contacts) {
      const person = await signInAgain(place, reader);
      const read = { table: "contacts", columns: ["email"], primary_keys: [id] };
      const { rows } = await call(place, person, "encryption/decrypt", read) as {
        rows: { fields?: { email: string } }[];
      };
      expect("a contact", rows[0]?.fields?.email, email);
    }
  },
  "somebody signs in with MFA": async (place, { careful: { visitor, secret } }) => {
    const person = await signInAgain(place, visitor);
    await call(place, person, "mfa/verify", { code: codeOf(secret, 0) });
    const [status] = done("ask for the status of MFA", await person.bulwark.rpc("mfa_status"));
    expect("the session", [status?.enrolled, status?.satisfied], [true, true]);
  },
  "an API key reads": async (place, { apiKey, reports }) => {
    const script = createClient(place.url, place.publishableKey, {
      accessToken: apiKeyToken({ url: place.url, apiKey }),
    });
    const rows = done("read reports", await script.from("reports").select("title").order("id"));
    expect("the reports", rows.map(({ title }) => title), reports);
  },
  "the queued webhook is sent, with its id": async (_place, { webhook }) => {
    const arrived = new Set<string>();
    const seen = { remember: () => Promise.resolve(true) };
    const receiver = Deno.serve(
      { hostname: "127.0.0.1", port: webhook.port, onListen: () => {} },
      async (request) => {
        const { id } = await verifyWebhook(request, [webhook.secret], seen);
        arrived.add(id);
        return new Response("thank you");
      },
    );
    try {
      for (let waited = 0; !webhook.deliveries.every((id) => arrived.has(id)); waited += 50) {
        if (waited > 60_000) throw new Failure("DRILL", "no webhook arrived within a minute");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    } finally {
      await receiver.shutdown();
    }
  },
};

async function makeOrganization(administrator: Visitor, member: Visitor): Promise<string> {
  const slug = `drill-${crypto.randomUUID().slice(0, 8)}`;
  const made = await administrator.bulwark.rpc("create_organization", { name: slug, slug });
  const { id } = done("make an organization", made);
  const invited = await administrator.bulwark.rpc("invite_member", {
    organization_id: id,
    email: member.email,
    role: "analyst",
  });
  const token = done("invite", invited)[0]?.token ?? "";
  const accepted = await member.bulwark.rpc("accept_invitation", { token });
  if (accepted.error) done("accept", accepted);
  return id;
}

async function addContact(place: Place, writer: Visitor, organization_id: string, email: string) {
  const id = crypto.randomUUID();
  const rows = [{ primary_key: id, fields: { email } }];
  const asked = { table: "contacts", organization_id, rows };
  const encrypted = await call(place, writer, "encryption/encrypt", asked) as {
    rows: { fields: { email: string; email_index: string } }[];
  };
  const row = { id, organization_id, name: "Contact", ...encrypted.rows[0]!.fields };
  done("store a contact", await writer.client.from("contacts").insert(row).select());
  return { id, email };
}

async function signCheckpoint(place: Place, reader: Visitor): Promise<Kept["checkpoint"]> {
  await request(place, "audit/checkpoint", place.schedulerSecret, {});
  const { note, keys } = await get(place, reader, "audit/checkpoint");
  return { note: String(note), keys: keys as string[] };
}

/** The code of an authenticator app, some time steps from now. */
function codeOf(secret: string, steps: number): string {
  const counter = Math.floor(Date.now() / 30_000) + steps;
  return HOTP.generate({ secret: Secret.fromBase32(secret), counter, digits: 6 });
}

async function call(place: Place, visitor: Visitor, path: string, body: object) {
  return await request(place, path, await tokenOf(visitor), body);
}

async function get(place: Place, visitor: Visitor, path: string) {
  return await request(place, path, await tokenOf(visitor), null);
}

async function tokenOf({ client }: Visitor): Promise<string> {
  return (await client.auth.getSession()).data.session?.access_token ?? "";
}

async function request(
  { url, publishableKey }: Place,
  path: string,
  token: string,
  body: object | null,
): Promise<Record<string, unknown>> {
  const answer = await fetch(`${url}/functions/v1/bulwark-${path}`, {
    method: body ? "POST" : "GET",
    headers: { apikey: publishableKey, authorization: `Bearer ${token}` },
    ...body && { body: JSON.stringify(body) },
  });
  const result = await answer.json();
  if (answer.ok) return result;
  throw new Failure("DRILL", `${path}: ${answer.status} ${result.code} ${result.message}`);
}

function done<Data>(
  action: string,
  { data, error }: { data: Data | null; error: { message: string } | null },
): NonNullable<Data> {
  if (!error && data !== null && data !== undefined) return data;
  throw new Failure("DRILL", `Cannot ${action}: ${error?.message ?? "no answer"}`);
}

function expect(what: string, got: unknown, wanted: unknown): void {
  if (JSON.stringify(got) === JSON.stringify(wanted)) return;
  throw new Failure(
    "DRILL",
    `${what}: ${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`,
  );
}
