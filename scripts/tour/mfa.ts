import { HOTP, Secret } from "otpauth";
import { Failure } from "../stack/failure.ts";
import {
  expect,
  type Place,
  refused,
  signInAgain,
  signUp,
  step,
  title,
  type Visitor,
} from "./guide.ts";

/** The answer of the function `bulwark-mfa` when an enrolment begins. */
interface Begun {
  factor_id: string;
  secret: string;
}

/** Second factors: enrolled, asked for, replaced by a backup code, lost and reset. */
export async function mfa(place: Place): Promise<void> {
  title("Ada and Ben run an organization, Vic works in it");
  const [ada, ben, vic] = await Promise.all(["Ada", "Ben", "Vic"].map((n) => signUp(place, n)));
  if (!ada || !ben || !vic) return;
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );
  for (const [visitor, role] of [[ben, "admin"], [vic, "analyst"]] as const) {
    const [invitation] = await step(
      `Ada invites ${visitor.name} as ${role}`,
      ada.bulwark.rpc("invite_member", { organization_id, email: visitor.email, role }),
    );
    const token = invitation?.token ?? "";
    await step(`${visitor.name} accepts`, visitor.bulwark.rpc("accept_invitation", { token }));
  }
  const pay = (visitor: Visitor) =>
    visitor.client.from("payouts").insert({ organization_id, amount_cents: 4200 });
  const payouts = (visitor: Visitor) =>
    visitor.client.from("payouts").select("amount_cents").eq("organization_id", organization_id);

  title("Vic enrolls an authenticator app; the code is really computed");
  await refused("Vic pays out, with a password alone", "42501", pay(vic));
  const begun = await step<Begun>("Vic scans the QR code", call(vic, "enroll", { name: "Phone" }));
  await refused(
    "Vic activates with a word",
    "MFA_INVALID_CODE",
    call(vic, "activate", { code: "banana" }),
  );
  const first = code(begun.secret, -1);
  const { backup_codes } = await step<{ backup_codes: string[] }>(
    `Vic activates with ${first} and is shown backup codes, once`,
    call(vic, "activate", { code: first }),
  );
  if (backup_codes.length !== 10) throw new Failure("TOUR", "Vic was not shown ten backup codes");
  console.log(`           ${backup_codes[0]} and nine more`);
  await refused(
    `Vic gives ${first} again`,
    "MFA_CODE_REFUSED",
    call(vic, "verify", { code: first }),
  );

  title("A table that asks for a second factor, verified in the last ten minutes: payouts");
  const laptop = await signInAgain(place, vic);
  await expect("Vic, signed in on a laptop, reads", [], payouts(laptop));
  await refused("Vic pays out", "42501", pay(laptop));
  const second = code(begun.secret, 0);
  await step(`Vic verifies with ${second}`, call(laptop, "verify", { code: second }));
  await step("Vic pays out", pay(laptop));
  await expect("Vic reads", [{ amount_cents: 4200 }], payouts(laptop));

  title("The phone is lost: a backup code, typed as people type");
  const tablet = await signInAgain(place, vic);
  const typed = backup_codes[0]!.toLowerCase().replaceAll("-", " ");
  await expect(
    `Vic gives ${typed}`,
    { verified: true, backup_codes_left: 9 },
    call(tablet, "verify-backup-code", { code: typed }),
  );
  await expect("Vic reads", [{ amount_cents: 4200 }], payouts(tablet));
  const again = await signInAgain(place, vic);
  await refused(
    "Vic gives it again",
    "MFA_CODE_REFUSED",
    call(again, "verify-backup-code", { code: typed }),
  );

  title("The organization requires a second factor, and two people to reset one");
  for (const visitor of [ada, ben]) {
    const { secret } = await step<Begun>(`${visitor.name} enrolls`, call(visitor, "enroll", {}));
    await step(
      `${visitor.name} activates`,
      call(visitor, "activate", { code: code(secret, 0) }),
    );
  }
  await step(
    "Ada sets the policy",
    ada.bulwark.rpc("set_mfa_policy", {
      organization_id,
      required: true,
      reset_needs_approval: true,
    }),
  );
  const permission = "analytics:read";
  await expect(
    "Vic, not verified in this session, holds analytics:read",
    false,
    again.bulwark.rpc("has_permission", { permission, organization_id }),
  );
  const [why] = await step(
    "Vic asks why",
    again.bulwark.rpc("explain_permission", { user_id: vic.id, permission, organization_id }),
  );
  console.log(`           ${why?.reason}`);
  if (why?.reason !== "mfa_required") throw new Failure("TOUR", "Vic is not told why");

  title("Phone and backup codes are gone: two administrators reset Vic");
  const request = {
    user_id: vic.id,
    organization_id,
    reason: "Lost the phone, spoken to in person",
  };
  await refused("Vic resets himself", "RBAC_PERMISSION_DENIED", call(tablet, "resets", request));
  const { reset_id } = await step<{ reset_id: string }>(
    "Ada requests it",
    call(ada, "resets", request),
  );
  await refused(
    "Ada approves it as well",
    "MFA_OWN_REQUEST",
    call(ada, "resets/approve", { reset_id }),
  );
  await expect("Vic reads what was open", [{ amount_cents: 4200 }], payouts(tablet));
  await expect(
    "Ben approves",
    { completed: true },
    call(ben, "resets/approve", { reset_id }),
  );
  await expect("Vic reads, at the next request", [], payouts(tablet));
  await refused(
    "Somebody found the backup codes",
    "MFA_CODE_REFUSED",
    call(again, "verify-backup-code", { code: backup_codes[1] }),
  );
  await expect(
    "Vic's own log tells of it",
    [{ event: "reset", succeeded: true }],
    vic.bulwark.from("mfa_usage_log").select("event, succeeded").eq("event", "reset"),
  );
  const fresh = await step<Begun>(
    "Vic, signed in just now, enrolls the new phone",
    call(again, "enroll", { name: "New phone" }),
  );
  await step("Vic activates", call(again, "activate", { code: code(fresh.secret, 0) }));
  await expect("Vic reads", [{ amount_cents: 4200 }], payouts(again));
}

/** The code of an authenticator app, `steps` of 30 seconds from now (RFC 6238). */
function code(secret: string, steps: number): string {
  return HOTP.generate({
    secret: Secret.fromBase32(secret),
    counter: Math.floor(Date.now() / 30_000) + steps,
    digits: 6,
  });
}

/** Calls the function `bulwark-mfa`, and answers as the Data API does. */
async function call<Data = unknown>(visitor: Visitor, path: string, body: object) {
  const { data, error } = await visitor.client.functions.invoke<Data>(`bulwark-mfa/${path}`, {
    body,
  });
  if (!error) return { data: data as Data, error: null };
  const { code, message } = await error.context.json() as { code: string; message: string };
  return { data: null as Data, error: { code, message, details: code } };
}
