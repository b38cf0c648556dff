/** Access reviews by several people at once, on connections of their own. */
import assert from "node:assert/strict";
import {
  connect,
  createOrganization,
  join,
  liftLimits,
  ok,
  type Person,
  signUp,
} from "../support.ts";

await liftLimits();
const sql = connect(1);
const ada = await signUp("ada");
const grace = await signUp("grace");
const acme = await createOrganization(ada);
await join(ada, acme, grace, "admin");

/** A member of acme, and a review whose items are about them. */
async function reviewed(): Promise<{ mia: Person; review: string; item: string; version: string }> {
  const mia = await signUp("mia");
  await join(ada, acme, mia, "viewer");
  const review = ok(
    await ada.client.rpc("start_access_review", {
      organization_id: acme,
      name: "Race",
      due_at: new Date(Date.now() + 86_400_000).toISOString(),
      reviewers: [ada.id, grace.id],
    }),
  ).id;
  const items = ok(
    await ada.client.rpc("list_access_review", { review_id: review, page_size: 1000 }),
  );
  const { id, version } = items.find(({ user_id }) => user_id === mia.id)!;
  return { mia, review, item: id, version };
}

type Answer = { data: unknown; error: { details?: string | null } | null };
const codeOf = ({ data, error }: Answer) =>
  error ? error.details ?? "?" : (data as { outcome?: string } | null)?.outcome ?? "ok";

async function isMember({ id }: Person): Promise<boolean> {
  const [row] = await sql`
    select bulwark_private.is_member(${id}, ${acme}) as member`;
  return row!.member;
}

async function outcomeOf(item: string): Promise<string | null> {
  const [row] = await sql`select outcome from bulwark.access_review_items where id = ${item}`;
  return row!.outcome;
}

Deno.test("REV-R01: of two reviewers that decide at once one decides, and it holds", async () => {
  for (let round = 0; round < 6; round++) {
    const { mia, item, version } = await reviewed();
    const codes = (await Promise.all([
      ada.client.rpc("decide_access", { item_id: item, decision: "keep", version }),
      grace.client.rpc("decide_access", { item_id: item, decision: "end" }),
    ])).map(codeOf);
    const decided = codes.filter((code) => code === "kept" || code === "ended");
    assert.equal(decided.length, 1, codes.join(", "));
    assert.ok(codes.includes("COMPLIANCE_ALREADY_DECIDED"), codes.join(", "));
    assert.equal(await outcomeOf(item), decided[0]);
    assert.equal(await isMember(mia), decided[0] === "kept");
  }
});

Deno.test("REV-R02: who leaves while the end is decided is gone or ended, and never both half", async () => {
  for (let round = 0; round < 6; round++) {
    const { mia, item } = await reviewed();
    const [left, decided] = (await Promise.all([
      mia.client.rpc("leave_organization", { organization_id: acme }),
      grace.client.rpc("decide_access", { item_id: item, decision: "end" }),
    ])).map(codeOf);
    assert.ok(
      left === "ok" && decided === "gone" || left === "RBAC_NOT_A_MEMBER" && decided === "ended",
      `${left}, ${decided}`,
    );
    assert.equal(await outcomeOf(item), decided);
    assert.equal(await isMember(mia), false);
  }
});

Deno.test("REV-R03: access that grows while it is kept is not kept unseen", async () => {
  for (let round = 0; round < 6; round++) {
    const { mia, item, version } = await reviewed();
    const [grown, kept] = (await Promise.all([
      ada.client.rpc("grant_role", { user_id: mia.id, role: "analyst", organization_id: acme }),
      grace.client.rpc("decide_access", { item_id: item, decision: "keep", version }),
    ])).map(codeOf);
    assert.equal(grown, "ok");
    const [row] = await sql`
      select jsonb_array_length(access) as roles from bulwark.access_review_items where id = ${item}`;
    assert.equal(row!.roles, 1, "the decision is about one role");
    assert.ok(kept === "kept" || kept === "COMPLIANCE_ACCESS_CHANGED", kept);
  }
});

Deno.test("REV-R04: a review that closes while somebody decides counts what was decided", async () => {
  for (let round = 0; round < 6; round++) {
    const { review, item, version } = await reviewed();
    const [closed, decision] = await Promise.all([
      ada.client.rpc("close_access_review", { review_id: review }),
      grace.client.rpc("decide_access", { item_id: item, decision: "keep", version }),
    ]);
    const totals = ok(closed) as { kept: number };
    const code = codeOf(decision);
    assert.equal(totals.kept, code === "kept" ? 1 : 0, code);
    if (code !== "kept") assert.equal(code, "COMPLIANCE_REVIEW_CLOSED");
  }
});

Deno.test("REV-R05: two administrators that end each other leave one", async () => {
  const { review } = await reviewed();
  const items = ok(
    await ada.client.rpc("list_access_review", { review_id: review, page_size: 1000 }),
  );
  const itemOf = ({ id }: Person) =>
    items.find(({ user_id, api_key_id }) => user_id === id && !api_key_id)!.id;
  const codes = (await Promise.all([
    ada.client.rpc("decide_access", { item_id: itemOf(grace), decision: "end" }),
    grace.client.rpc("decide_access", { item_id: itemOf(ada), decision: "end" }),
  ])).map(codeOf);
  assert.equal(codes.filter((code) => code === "ended").length, 1, codes.join(", "));
  assert.deepEqual([await isMember(ada), await isMember(grace)].sort(), [false, true]);
  await sql.end();
});
