import postgres from "postgres";
import { Failure } from "../stack/failure.ts";
import { expect, type Place, refused, signUp, step, title, type Visitor } from "./guide.ts";
import { withHook } from "./hook.ts";

/** Rate limits and security events: refused calls pass after waiting, guesses raise an event. */
export async function rateLimits(place: Place): Promise<void> {
  await forgetEarlierTours(place);
  title("Ada calls a function until it is too much, and comes back when it says");
  const [ada, vic, eve] = await Promise.all(["Ada", "Vic", "Eve"].map((n) => signUp(place, n)));
  if (!ada || !vic || !eve) return;
  const token = await tokenOf(ada);
  await throttled("Ada", () => ask(place, token));

  title("The same in front of the Data API: one statement");
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );
  await withHook(place, async () => {
    await throttled("Ada", () => write(place, token, organization_id));
    await step("Ada still reads: reads are not charged", ada.client.from("reports").select("id"));
  });

  title("Somebody guesses Vic's password through the function login");
  const [invitation] = await step(
    "Ada invites Vic",
    ada.bulwark.rpc("invite_member", { organization_id, email: vic.email, role: "viewer" }),
  );
  await step(
    "Vic accepts",
    vic.bulwark.rpc("accept_invitation", { token: invitation?.token ?? "" }),
  );
  let guesses = 0;
  for (;; guesses++) {
    const { status, code } = await guess(place, vic, guesses);
    if (status === 429) break;
    if (status !== 401 || code !== "LOGIN_FAILED" || guesses > 5) {
      throw new Failure("TOUR", `guess ${guesses + 1} answered ${status} ${code}`);
    }
  }
  console.log(`  refused  after ${guesses} guesses: 429; each of them was 401 LOGIN_FAILED`);

  title("Ada finds the security event, and nobody else does");
  const list = (visitor: Visitor) =>
    visitor.bulwark.rpc("list_security_events", { organization_id })
      .select("id, event_type, severity, user_id");
  const [event] = await step("Ada lists the events", list(ada));
  if (event?.event_type !== "brute_force" || event.user_id !== vic.id) {
    throw new Failure("TOUR", `the events are ${JSON.stringify(event)}`);
  }
  console.log(`           ${event.event_type}, ${event.severity}, about Vic`);
  await refused("Eve lists", "RBAC_PERMISSION_DENIED", list(eve));
  await refused(
    "Vic resolves it",
    "SECURITY_EVENT_NOT_FOUND",
    vic.bulwark.rpc("resolve_security_event", { event_id: event.id, note: "nothing" }),
  );
  await step(
    "Ada takes it on",
    ada.bulwark.rpc("assign_security_event", { event_id: event.id, assignee: ada.id }),
  );
  await refused(
    "Ada resolves it without a note",
    "SECURITY_INVALID_NOTE",
    ada.bulwark.rpc("resolve_security_event", { event_id: event.id, note: " " }),
  );
  await step(
    "Ada resolves it",
    ada.bulwark.rpc("resolve_security_event", { event_id: event.id, note: "Vic has been told" }),
  );
  await expect("Ada lists what is open", [], list(ada));
}

/** Calls until a refusal, waits for Retry-After, and calls again. */
async function throttled(name: string, call: () => Promise<Response>): Promise<void> {
  let answer = await call();
  console.log(`  ok       ${answer.status}, RateLimit: ${answer.headers.get("ratelimit")}`);
  let calls = 1;
  for (; answer.status !== 429; calls++) {
    if (!answer.ok || calls > 200) {
      throw new Failure("TOUR", `${name} was never throttled: call ${calls}: ${answer.status}`);
    }
    await answer.body?.cancel();
    answer = await call();
  }
  const wait = Number(answer.headers.get("retry-after"));
  const { code, details } = await answer.json();
  if (!(wait >= 1) || ![code, details].includes("RATE_LIMIT_EXCEEDED")) {
    throw new Failure("TOUR", `the refusal says ${code}, ${details}, Retry-After ${wait}`);
  }
  console.log(`  refused  call ${calls}: 429 RATE_LIMIT_EXCEEDED, Retry-After: ${wait}`);
  await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  const passed = await call();
  await passed.body?.cancel();
  if (!passed.ok) throw new Failure("TOUR", `after ${wait} s: ${passed.status}`);
  console.log(`  ok       ${wait} s later: ${passed.status}`);
}

async function tokenOf({ client }: Visitor): Promise<string> {
  const { data } = await client.auth.getSession();
  return data.session?.access_token ?? "";
}

function ask({ url, publishableKey }: Place, token: string): Promise<Response> {
  return fetch(`${url}/functions/v1/bulwark-rbac`, {
    method: "POST",
    headers: { apikey: publishableKey, authorization: `Bearer ${token}` },
    body: JSON.stringify({ permissions: ["audit:read"] }),
  });
}

function write({ url, publishableKey }: Place, token: string, organization_id: string) {
  return fetch(`${url}/rest/v1/reports`, {
    method: "POST",
    headers: {
      apikey: publishableKey,
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ organization_id, title: "One more" }),
  });
}

async function guess({ url, publishableKey }: Place, { email }: Visitor, number: number) {
  const answer = await fetch(`${url}/functions/v1/bulwark-login`, {
    method: "POST",
    headers: { apikey: publishableKey },
    body: JSON.stringify({ email, password: `guess number ${number}` }),
  });
  return { status: answer.status, code: (await answer.json()).code as string };
}

/** A recent tour may have used up this address's sign-ins. */
async function forgetEarlierTours(place: Place): Promise<void> {
  const sql = postgres(place.superuserUrl, { max: 1, onnotice: () => {} });
  await sql`delete from bulwark_private.rate_limits`;
  await sql`update bulwark.rate_limit_blocks set lifted_at = now() where lifted_at is null`;
  await sql.end();
}
