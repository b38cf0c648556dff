/** Sign-ins over HTTP: guesses, the hooks of Supabase Auth, and impossible travel. */
import assert from "node:assert/strict";
import postgres from "postgres";
import {
  finishLogin,
  originOf,
  refusalMilliseconds,
} from "../../supabase/functions/_bulwark/rate_limits/login.ts";
import {
  callFunction,
  connect,
  createOrganization,
  join,
  ok,
  service,
  signUp,
  superuserUrl,
  url,
} from "../support.ts";
import { forget, headers } from "./buckets.ts";

async function attempt(email: string, password: string, forwarded = "192.0.2.1") {
  const answer = await callFunction("login", {
    headers: { ...headers, "x-forwarded-for": forwarded },
    body: { email, password },
  });
  return { status: answer.status, headers: answer.headers, body: await answer.json() };
}

Deno.test("RATE-E05: guesses at sign-in are refused, raise an event, and reveal nothing", async () => {
  await forget();
  const admin = await signUp("owner");
  const organization = await createOrganization(admin);
  const victim = await signUp("victim");
  await join(admin, organization, victim, "viewer");
  const password = "correct horse battery staple";
  assert.equal((await victim.client.auth.updateUser({ password })).error, null);

  const signedIn = await attempt(victim.email, password);
  assert.equal(signedIn.status, 200);
  assert.equal(signedIn.body.user.id, victim.id);
  await forget();
  const sql = connect(1);
  await sql`delete from bulwark_private.known_networks`;

  const wrong = [];
  for (let n = 0; n < 5; n++) wrong.push(await attempt(victim.email, `wrong ${n}`));
  assert.deepEqual(wrong.map(({ status }) => status), [401, 401, 401, 401, 401]);
  const sixth = await attempt(victim.email, password);
  assert.equal(sixth.status, 429, "the right password too");
  assert.equal(sixth.body.code, "RATE_LIMIT_EXCEEDED");
  assert.ok(Number(sixth.headers.get("retry-after")) <= 180);
  await forget();

  const unknown = await attempt("nobody@people.test", "wrong");
  const known = await attempt(victim.email, "wrong");
  const stable = ({ body, ...answer }: typeof known) => ({
    status: answer.status,
    code: body.code,
    message: body.message,
    left: answer.headers.get("x-ratelimit-limit"),
  });
  assert.deepEqual(stable(unknown), stable(known), "an unknown account is the same answer");

  const events = ok(
    await admin.client.rpc("list_security_events", { organization_id: organization }),
  );
  const event = events.find(({ event_type }) => event_type === "brute_force");
  assert.equal(event?.user_id, victim.id);
  assert.equal(event?.severity, "high");
  const stranger = await signUp("stranger");
  await createOrganization(stranger);
  const foreign = await stranger.client.rpc("list_security_events", {
    organization_id: organization,
  });
  assert.equal(foreign.error?.details, "RBAC_PERMISSION_DENIED");
  const [failed] = await sql`
    select count(*)::integer as entries from bulwark.audit_logs
    where event_type = 'auth.login_failed' and resource_id = ${victim.id} and parent_id is null
  `;
  assert.equal(failed?.entries, 6);
  await sql.end();
  await forget();
});

Deno.test("RATE-E11: a refused sign-in takes as long for an account that does not exist", async () => {
  await forget();
  const ada = await signUp("awaited");
  const took = async (email: string) => {
    const start = performance.now();
    const { status } = await attempt(email, "not the password");
    assert.equal(status, 401);
    return performance.now() - start;
  };
  for (const email of [ada.email, "nobody@people.test"]) {
    assert.ok(await took(email) >= refusalMilliseconds, email);
  }
  await forget();
});

Deno.test("RATE-E06: Supabase Auth reaches its hooks as itself, and nothing behind them", async () => {
  const person = await signUp("hooked");
  const auth = postgres(superuserUrl.replace("supabase_admin:", "supabase_auth_admin:"), {
    max: 1,
  });
  try {
    const hook = async (name: string, valid: boolean) => {
      const event = { user_id: person.id, valid, factor_id: crypto.randomUUID() };
      const [answer] = await auth.unsafe(`select bulwark.${name}($1::jsonb) as answer`, [
        event as never,
      ]);
      return answer?.answer;
    };
    const message = "Too many attempts: try again later";
    const refusals = {
      password_verification_attempt_hook: {
        decision: "reject",
        message,
        should_logout_user: false,
      },
      // A decision to reject would end all sessions of the user.
      mfa_verification_attempt_hook: { error: { http_code: 429, message } },
    };
    for (const [name, refusal] of Object.entries(refusals)) {
      for (let n = 0; n < 5; n++) assert.equal((await hook(name, false)).decision, "continue");
      assert.deepEqual(await hook(name, true), refusal);
    }
    for (
      const statement of [
        "select * from bulwark_private.rate_limits",
        "select bulwark_private.charge_attempt('password', gen_random_uuid(), true)",
        "select bulwark.check_rate_limit('api_default')",
      ]
    ) {
      await assert.rejects(auth.unsafe(statement), { code: "42501" });
    }
  } finally {
    await auth.end();
    await forget();
  }
});

Deno.test("SEC-E03: impossible travel between two sign-ins is an event, by the proxy's headers", async () => {
  const admin = await signUp("owner");
  const organization = await createOrganization(admin);
  const places: [string, string] = ["x-latitude", "x-longitude"];
  const session = { access_token: "", refresh_token: "", user: { id: admin.id } };
  const from = async (latitude: string, longitude: string) => {
    const request = new Request(url, {
      headers: { "x-latitude": latitude, "x-longitude": longitude },
    });
    const credentials = { email: admin.email, password: "" };
    await finishLogin(service(), credentials, originOf(request, null, places), session);
    return ok(await admin.client.rpc("list_security_events", { organization_id: organization }))
      .map(({ event_type, user_id }) => [event_type, user_id]);
  };
  assert.deepEqual(await from("52.5", "13.4"), []);
  assert.deepEqual(await from("52.6", "13.5"), [], "the same city");
  assert.deepEqual(await from("NaN", "1e999"), [], "no place");
  assert.deepEqual(await from("-33.9", "151.2"), [["impossible_travel", admin.id]]);
});
