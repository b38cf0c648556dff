import { connect } from "../stack/connection.ts";
import { Failure } from "../stack/failure.ts";
import { expect, type Place, refused, signUp, step, title, type Visitor } from "./guide.ts";

/** Plaintext for authorized callers, keys that are rotated, and an organization shredded. */
export async function encryption(place: Place): Promise<void> {
  title("Ada keeps a contact; its e-mail address is encrypted before it is stored");
  const ada = await signUp(place, "Ada");
  const slug = `tour-${crypto.randomUUID().slice(0, 8)}`;
  const { id: organization_id } = await step(
    "Ada makes an organization",
    ada.bulwark.rpc("create_organization", { name: "Tour", slug }),
  );
  const [grace, alan] = [crypto.randomUUID(), crypto.randomUUID()];
  const { rows } = await step(
    "the function encrypts two addresses",
    call<{ rows: EncryptedRow[] }>(ada, "encrypt", {
      table: "contacts",
      organization_id,
      rows: [
        { primary_key: grace, fields: { email: "Grace@Navy.example" } },
        { primary_key: alan, fields: { email: "alan@bletchley.example" } },
      ],
    }),
  );
  const contacts = rows.map(({ primary_key: id, fields }) => ({
    id,
    organization_id,
    name: id === grace ? "Grace" : "Alan",
    ...fields,
  }));
  await step("Ada stores what she got", ada.client.from("contacts").insert(contacts));
  const stored = contacts.find(({ id }) => id === grace)?.email ?? "";
  console.log(`           ${stored.slice(0, 72)}…`);
  await refused(
    "Ada stores an address as it is",
    "23514",
    ada.client.from("contacts").update({ email: "grace@navy.example" }).eq("id", grace),
  );

  title("Found by its blind index, read by members with permission");
  const find = { table: "contacts", organization_id, column: "email", value: "grace@navy.example" };
  await expect(
    "Ada looks for grace@navy.example",
    { primary_keys: [grace], next: null },
    call(ada, "find", find),
  );
  const read = { table: "contacts", columns: ["email"], primary_keys: [grace] };
  const text = {
    rows: [{ primary_key: grace, fields: { email: "Grace@Navy.example" } }],
  };
  await expect("Ada reads it", text, call(ada, "decrypt", read));
  const eve = await signUp(place, "Eve");
  await expect("Eve reads it", { rows: [] }, call(eve, "decrypt", read));

  title("Both kinds of keys are rotated; everything stays readable");
  await expect(
    "Ada rotates the data key",
    { organization_id, purpose: "field", version: 2 },
    call(ada, "rotate", { organization_id }),
  );
  await expect(
    "Ada reads under the old key, while re-encryption goes on",
    text,
    call(ada, "decrypt", read),
  );
  const scheduler = { ...ada, name: "the scheduler" };
  const work = (body: Record<string, unknown>) =>
    call<{ more: boolean }>(scheduler, "work", body, place.schedulerSecret);
  for (let more = true; more;) {
    const answer = await work({});
    if (answer.error || !answer.data) throw new Failure("TOUR", "the scheduler's work failed");
    more = answer.data.more;
  }
  const { email } = await step(
    "the row is under the new key",
    ada.client.from("contacts").select("email").eq("id", grace).single(),
  );
  if (!email || email.slice(0, 35) === stored.slice(0, 35)) {
    throw new Failure("TOUR", "the row is still under the old key");
  }
  const superuser = connect(place.superuserUrl);
  try {
    const [other] = await superuser`
      select case when is_current and id = 'local-2' then 'local-1' else 'local-2' end as id
      from bulwark_private.key_encryption_keys
      order by is_current desc limit 1
    `;
    await step(
      `all data keys are wrapped under ${other?.id}`,
      work({ key_encryption_key: other?.id }),
    );
    await expect("Ada reads it again", text, call(ada, "decrypt", read));

    title("A superuser moves Grace's address into Alan's row");
    await superuser`update public.contacts set email = ${email} where id = ${alan}`;
    await refused(
      "Ada reads Alan's address",
      "ENCRYPTION_FAILED",
      readOne(ada, { ...read, primary_keys: [alan] }),
    );

    title("The organization is shredded");
    await refused(
      "Ada, its administrator, shreds it",
      "RBAC_PERMISSION_DENIED",
      ada.bulwark.rpc("shred_organization", { organization_id, confirm_slug: slug }),
    );
    await superuser`select bulwark.shred_organization(${organization_id}, ${slug})`;
    console.log("  done     the operator shreds it, confirming with the slug");
    await refused("Ada reads it", "ENCRYPTION_KEY_DESTROYED", readOne(ada, read));
  } finally {
    await superuser.end();
  }
}

interface EncryptedRow {
  primary_key: string;
  fields: { email: string; email_index: string };
}

interface DecryptedRow {
  primary_key: string;
  fields?: Record<string, string | null>;
  error?: { code: string; message: string };
}

/** Calls the function, in the shape of a supabase-js answer. */
async function call<Data>(
  { client }: Visitor,
  path: string,
  body: Record<string, unknown>,
  secret?: string,
) {
  const { data, error } = await client.functions.invoke<Data>(`bulwark-encryption/${path}`, {
    body,
    ...(secret ? { headers: { authorization: `Bearer ${secret}` } } : {}),
  });
  if (!error) return { data: data as Data, error: null };
  const answer: { code: string; message: string } = await error.context.json();
  return { data: null as Data, error: { ...answer, details: null } };
}

/** The texts of a row; its error is thrown as that of the call. */
async function readOne(visitor: Visitor, body: Record<string, unknown>) {
  const { data, error } = await call<{ rows: DecryptedRow[] }>(visitor, "decrypt", body);
  const [row] = data?.rows ?? [];
  return { data: row, error: error ?? (row?.error ? { ...row.error, details: null } : null) };
}
